//! openraft's own storage suite, on real files and on a simulated disk.

use std::path::PathBuf;
use std::sync::Arc;

use firstcome_storage::disk::sim::SimDisk;
use firstcome_storage::{Disk, system_disk};

use firstcome_storage::{DataDir, Identity, Log, LogOptions, State, StateOptions};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::application::Idle;
use crate::config::TypeConfig;
use crate::failure::FailureSlot;
use crate::log_store::LogStore;
use crate::state_machine::StateMachine;

/// A disk, a folder on it, and what removes it in the end.
type Place = (Arc<dyn Disk>, PathBuf, Option<TempDir>);

/// Log and state in a folder of their own.
pub(crate) struct OnDisk(fn() -> Place);

impl StoreBuilder<TypeConfig, LogStore, StateMachine, (Option<TempDir>, DataDir)> for OnDisk {
    async fn build(
        &self,
    ) -> Result<((Option<TempDir>, DataDir), LogStore, StateMachine), StorageError<TypeConfig>>
    {
        let (disk, path, folder) = (self.0)();
        let identity = Identity {
            format: firstcome_storage::dir::FORMAT,
            cluster_uuid: "00000000-0000-4000-8000-000000000000".to_owned(),
            incarnation: 0,
            node_id: 1,
            name: "n1".to_owned(),
            state: firstcome_storage::dir::IdentityState::Active,
        };
        let dir = DataDir::create_on(disk, &path, &identity).expect("a new directory");
        let log = Log::open(&dir, LogOptions { cache_bytes: 1 << 20, ..LogOptions::default() })
            .expect("a log");
        let options = StateOptions {
            cache_bytes: 1 << 20,
            checkpoint_interval: std::time::Duration::from_millis(50),
            checkpoint_bytes: 1 << 16,
        };
        let state = State::open(&dir, options, log.clone()).expect("a state");
        let (applied, _) = watch::channel(0);
        let machine = StateMachine::open(
            state,
            applied,
            FailureSlot::default(),
            Arc::default(),
            Arc::new(Idle),
        )
        .expect("a state machine");
        Ok(((folder, dir), LogStore::new(log, FailureSlot::default()), machine))
    }
}

impl OnDisk {
    /// On this machine's files.
    pub(crate) const fn real() -> Self {
        Self(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            (system_disk(), folder.path().join("n1"), Some(folder))
        })
    }

    const fn simulated() -> Self {
        Self(|| (Arc::new(SimDisk::new()), PathBuf::from("/n1"), None))
    }
}

fn pass(builder: OnDisk) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(Suite::test_all(builder)).expect("the suite");
}

#[test]
fn openraft_storage_suite_passes_on_real_files() {
    pass(OnDisk::real());
}

#[test]
fn openraft_storage_suite_passes_on_a_simulated_disk() {
    pass(OnDisk::simulated());
}
