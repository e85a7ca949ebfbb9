//! What the leader proposes by itself, because the application says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use firstcome_domain::command::Tick;
use firstcome_domain::{Action, Actor, Command, Millis, Outcome};
use firstcome_raft::{Application, EarlyAnswer, Node, Options};
use firstcome_storage::query::ReadView;

use crate::cluster::{eventually, revision};

const TICK: Command = Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) };

/// Work that takes three commands, once it is due.
#[derive(Clone, Default)]
struct ThreeSteps {
    is_due: Arc<AtomicBool>,
    steps: Arc<AtomicUsize>,
}

impl Application for ThreeSteps {
    fn answer_early(&self, _: &Command, _: &ReadView, _: Option<Millis>) -> Option<EarlyAnswer> {
        None
    }

    fn due(&self, _: &ReadView, _: Millis) -> Option<Command> {
        self.is_due.swap(false, Ordering::Relaxed).then_some(TICK)
    }

    fn housekeeping(&self, _: &ReadView, _: Millis) -> Option<Command> {
        None
    }

    fn is_unfinished(&self, _: &Outcome) -> bool {
        self.steps.fetch_add(1, Ordering::Relaxed) + 1 < 3
    }

    fn is_due_work(&self, command: &Command) -> bool {
        *command == TICK
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_work_is_proposed_until_it_is_finished() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut options = Options::new("n1", folder.path().join("n1"));
    options.bootstrap = true;
    let work = ThreeSteps::default();
    let node = Node::start(options, work.clone()).await.expect("a node");
    eventually("a leader", || async { node.linearize().await.ok() }).await;
    let before = revision(&node).get();
    work.is_due.store(true, Ordering::Relaxed);
    eventually("three steps", || async { (work.steps.load(Ordering::Relaxed) == 3).then_some(()) })
        .await;
    node.propose(TICK).await.expect("an outcome");
    assert_eq!(revision(&node).get(), before + 3 + 1, "each step once, and then no more");
    node.shutdown().await;
}
