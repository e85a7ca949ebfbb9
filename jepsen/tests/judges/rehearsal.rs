//! Every workload against a shop that cannot fail, with lost responses. The recorded history is
//! judged true, and false as soon as one answer or row is falsified.
//!
//! Time is virtual: clients, responses and delayed requests are events of one seeded schedule.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstcome_jepsen::drive::workload;
use firstcome_jepsen::drive::workload::{Kind, Mailbox, Step, Workload, WorkloadConfig};
use firstcome_jepsen::judge::check::{CHECKERS, Evidence, Finding, RunMetadata, Verdict, judge};
use firstcome_jepsen::record::dump::Dump;
use firstcome_jepsen::record::history::{self, Event};
use firstcome_jepsen::record::http::{Lost, Response};
use firstcome_jepsen::record::invocation;
use firstcome_jepsen::record::invocation::{Customer, Invocation, Reply};
use firstcome_jepsen::record::recorder::Recorder;
use firstcome_jepsen::record::run_event::RECOVERED;
use firstcome_jepsen::record::run_event::SOLD_OUT_PHASE;
use firstcome_jepsen::seed::Seed;
use serde_json::{Value, json};

use crate::shop::{Shop, instant};

const MS: u64 = 1_000_000;
/// How long the clients run, in virtual seconds: more than a minute where holds must expire.
const fn length_s(kind: Kind) -> u64 {
    match kind {
        Kind::Conservation | Kind::Deadline => 64,
        Kind::ColdStart | Kind::Register | Kind::Accounts => 20,
        _ => 12,
    }
}

/// The length of the run for the checkers. A response of the schedule takes 60 ms, to keep the
/// tests fast, so the clients do not reach the floors of a real run of the same length.
const fn judged_as_s(kind: Kind) -> u64 {
    match kind {
        Kind::Deadline => 10,
        _ => 3,
    }
}

/// The recorded history, in memory.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What happens to an attempt.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    /// Refused before it ran.
    Refused,
    /// Carried out, and the response was lost.
    Lost,
    /// Given up by its client, and carried out long afterwards.
    Late,
    /// It never arrived.
    Vanished,
}

enum State {
    Idle,
    Asked(Invocation, Event, Fate),
    Served(Invocation, Event, Result<Response, Lost>),
    Gone,
}

/// One client: its state, and when it continues.
struct Client {
    process: u64,
    at: u64,
    state: State,
}

struct Rehearsal {
    shop: Shop,
    recorder: Recorder,
    clock: Arc<AtomicU64>,
    seed: Seed,
    late: Vec<(u64, Invocation)>,
}

impl Rehearsal {
    fn log_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed) / MS
    }

    fn pause(&mut self) -> u64 {
        self.seed.between(5 * MS, 50 * MS)
    }

    /// Runs all clients until this time, or until all are done.
    fn play(&mut self, workload: &mut dyn Workload, until: u64) {
        let start = self.clock.load(Ordering::Relaxed);
        let client = |_| Client { process: self.recorder.process(), at: start, state: State::Idle };
        let mut clients: Vec<Client> = (0..workload.clients()).map(client).collect();
        loop {
            let next = (0..clients.len()).min_by_key(|at| clients[*at].at).unwrap();
            let now = clients[next].at;
            let waits = clients.iter().all(|client| matches!(client.state, State::Idle));
            if matches!(clients[next].state, State::Gone) || (now > until && waits) {
                return;
            }
            while let Some(at) = self.late.iter().position(|(at, _)| *at <= now) {
                let (at, invocation) = self.late.remove(at);
                self.clock.fetch_max(at, Ordering::Relaxed);
                let log_ms = self.log_ms();
                self.shop.serve(&invocation, log_ms);
            }
            self.clock.fetch_max(now, Ordering::Relaxed);
            self.act(workload, next, &mut clients[next], until);
        }
    }

    fn act(&mut self, workload: &mut dyn Workload, at: usize, client: &mut Client, until: u64) {
        let state = std::mem::replace(&mut client.state, State::Idle);
        let pause = self.pause();
        match state {
            State::Idle if client.at > until => client.at += 1000 * MS,
            State::Idle => match workload.next(at, Duration::from_nanos(client.at)) {
                Step::Done => *client = Client { at: u64::MAX, state: State::Gone, ..*client },
                Step::Wait(time) => {
                    client.at += u64::try_from(time.as_nanos()).unwrap().max(10 * MS);
                }
                Step::Invoke(invocation, _) => {
                    let invoke = self.recorder.invoke(client.process, &invocation, "n1");
                    let fate = match self.seed.below(100) {
                        0 => Fate::Lost,
                        1 => Fate::Late,
                        2 => Fate::Vanished,
                        3 => Fate::Refused,
                        _ => Fate::Answered,
                    };
                    client.state = State::Asked(invocation, invoke, fate);
                    client.at += pause;
                }
            },
            State::Asked(invocation, invoke, fate) => {
                let log_ms = self.log_ms();
                let lost = || Err(Lost::AfterFirstByte("lost".into()));
                let seen = match fate {
                    Fate::Answered => Ok(self.shop.serve(&invocation, log_ms)),
                    Fate::Refused => Err(Lost::BeforeFirstByte("refused".into())),
                    Fate::Lost => {
                        self.shop.serve(&invocation, log_ms);
                        lost()
                    }
                    Fate::Late => {
                        self.late.push((client.at + 20 * pause, invocation.clone()));
                        lost()
                    }
                    Fate::Vanished => lost(),
                };
                client.state = State::Served(invocation, invoke, seen);
                client.at += pause;
            }
            State::Served(invocation, invoke, seen) => {
                let completed = self.recorder.complete(invoke, &invocation, seen.as_ref());
                workload.on_reply(at, &invocation, &completed.reply);
                if completed.retired {
                    client.process = self.recorder.process();
                }
                client.at += MS;
            }
            State::Gone => {}
        }
    }

    fn invoke(&mut self, process: u64, invocation: &Invocation) -> Reply {
        let now = self.clock.fetch_add(MS, Ordering::Relaxed) / MS;
        let invoke = self.recorder.invoke(process, invocation, "n1");
        let seen = self.shop.serve(invocation, now);
        self.clock.fetch_add(MS, Ordering::Relaxed);
        self.recorder.complete(invoke, invocation, Ok(&seen)).reply
    }

    /// Settles every unpaid order and sells what is left.
    fn sell_out(&mut self, workload: &dyn Workload, fresh: &[Customer]) {
        let process = self.recorder.process();
        let mut keys = (0..).map(|n| format!("end-{n}"));
        let mut key = || keys.next().unwrap();
        let late = std::mem::take(&mut self.late);
        for (_, invocation) in late {
            let now = self.log_ms();
            self.shop.serve(&invocation, now);
        }
        let rows = self.shop.dump("").orders;
        for row in rows.iter().filter(|row| row.status == "payment_pending") {
            self.invoke(process, &invocation::settle("staff", &key(), &row.pool, &row.id));
        }
        for sale in workload.sales() {
            for customer in fresh {
                let reply = self.invoke(process, &invocation::order(customer, &key(), &sale.id, 1));
                match reply.text("order") {
                    Some(order) => {
                        self.invoke(process, &invocation::settle("staff", &key(), &sale.id, order));
                    }
                    None => break,
                }
            }
        }
        self.recorder.record_event(SOLD_OUT_PHASE, Value::Null);
    }
}

/// A recorded run.
#[derive(Clone)]
struct Run {
    metadata: RunMetadata,
    page: Vec<u8>,
    dumps: Vec<Dump>,
}

impl Run {
    fn evidence(&self) -> Evidence {
        let history = history::read(self.page.as_slice()).unwrap();
        Evidence::of(self.metadata.clone(), history, self.dumps.clone()).unwrap()
    }

    fn finding(&self, checker: &str) -> Finding {
        let checker = CHECKERS.iter().find(|c| c.name == checker).unwrap();
        (checker.check)(&self.evidence())
    }

    /// Falsifies the last line of the history that `change` accepts.
    fn falsify(&mut self, change: impl Fn(&mut Value) -> Option<()>) {
        let text = String::from_utf8(std::mem::take(&mut self.page)).unwrap();
        let mut lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let falsified = lines.iter_mut().rev().find_map(change);
        assert!(falsified.is_some(), "nothing to falsify");
        self.page = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
    }
}

fn customers(count: usize) -> Vec<Customer> {
    let customer = |n| Customer { id: format!("usr_{n}"), token: String::new() };
    (0..count).map(customer).collect()
}

fn rehearse(kind: Kind, seed: u64) -> Run {
    let mut customers = customers(1400);
    let fresh = customers.split_off(1280);
    let data_dir = tempfile::tempdir().unwrap();
    let setting = WorkloadConfig {
        seed,
        nodes: 3,
        customers,
        staff: "staff".into(),
        product: "prd_0".into(),
        opens_at: instant(0),
        mail: Mailbox::new([data_dir.path().to_owned()]),
    };
    let mut workload = kind.workload(setting);
    let (page, clock) = (Page::default(), Arc::new(AtomicU64::new(0)));
    let now = Arc::clone(&clock);
    let recorder =
        Recorder::with_clock(page.clone(), "r", move || now.load(Ordering::Relaxed)).unwrap();
    let shop = Shop::mailing_to(data_dir.path().join("mail"));
    let seed = Seed::of(seed, 7);
    let mut rehearsal = Rehearsal { shop, recorder, clock, seed, late: Vec::new() };
    rehearsal.play(workload.as_mut(), length_s(kind) * 1000 * MS);
    rehearsal.recorder.record_event(RECOVERED, Value::Null);
    workload.close();
    rehearsal.play(workload.as_mut(), u64::MAX / 2);
    rehearsal.sell_out(workload.as_ref(), &fresh);
    rehearsal.recorder.close().unwrap();
    let dumps = ["n1", "n2", "n3"].map(|node| rehearsal.shop.dump(node)).to_vec();
    let metadata = RunMetadata {
        workload: kind.name().into(),
        nemesis: "none".into(),
        seconds: judged_as_s(kind),
        seed: 1,
        nodes: 3,
        ..RunMetadata::default()
    };
    let page = page.0.lock().unwrap().clone();
    Run { metadata, page, dumps }
}

#[track_caller]
fn held_true(kind: Kind) {
    for seed in 1..3 {
        let run = rehearse(kind, seed);
        for finding in judge(&run.evidence()).findings {
            // A search may give up because so many requests are concurrent.
            if finding.checker == "wgl" && finding.verdict == Verdict::Unknown {
                continue;
            }
            assert_eq!(finding.verdict, Verdict::True, "{}, seed {seed}: {finding:?}", kind.name());
        }
    }
}

#[test]
fn flash_sale_in_a_correct_shop_is_judged_true() {
    held_true(Kind::FlashSale);
}

#[test]
fn orders_once_in_a_correct_shop_is_judged_true() {
    held_true(Kind::OrdersOnce);
}

#[test]
fn order_set_in_a_correct_shop_is_judged_true() {
    held_true(Kind::OrderSet);
}

#[test]
fn sessions_in_a_correct_shop_are_judged_true() {
    held_true(Kind::Sessions);
}

#[test]
fn register_in_a_correct_shop_is_judged_true() {
    held_true(Kind::Register);
}

#[test]
fn conservation_in_a_correct_shop_is_judged_true() {
    held_true(Kind::Conservation);
}

#[test]
fn deadline_in_a_correct_shop_is_judged_true() {
    held_true(Kind::Deadline);
}

#[test]
fn cold_start_in_a_correct_shop_is_judged_true() {
    held_true(Kind::ColdStart);
}

#[test]
fn accounts_in_a_correct_shop_are_judged_true() {
    held_true(Kind::Accounts);
}

#[test]
fn one_seed_rehearses_one_history() {
    for kind in [Kind::OrdersOnce, Kind::Accounts] {
        let run = |seed| rehearse(kind, seed).page;
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }
}

/// Which checker must notice, in which workload, and what is falsified.
type Canary = (&'static str, Kind, fn(&mut Run));

/// An answer of this kind.
fn answered<'a>(line: &'a mut Value, f: &str) -> Option<&'a mut Value> {
    (line["type"] == "ok" && line["f"] == f && line["value"].get("refused").is_none())
        .then_some(line)
}

/// Whether it is such a refusal.
fn refused(line: &Value, f: &str, code: &str) -> Option<()> {
    (line["f"] == f && line["value"]["refused"] == code).then_some(())
}

fn add(value: &mut Value, by: i64) -> Option<()> {
    *value = json!(value.as_i64()? + by);
    Some(())
}

const CANARIES: &[Canary] = &[
    ("witness", Kind::FlashSale, |run| {
        run.falsify(|line| {
            let value = &mut answered(line, "stock")?["value"];
            add(&mut value["stocked"], 1)?;
            add(&mut value["available"], 1)
        });
    }),
    ("witness", Kind::Conservation, |run| {
        run.falsify(|line| {
            answered(line, "receive")?["value"]["status"] = json!("return_requested");
            Some(())
        });
    }),
    ("witness", Kind::Register, |run| {
        run.falsify(|line| add(&mut answered(line, "read")?["value"]["price"], 1));
    }),
    ("witness", Kind::Deadline, |run| {
        for event in run.dumps.iter_mut().flat_map(|dump| dump.events.iter_mut().flatten()) {
            if event.name == "order.expired" {
                event.at = Some(instant(0));
            }
        }
    }),
    ("once", Kind::OrdersOnce, |run| {
        run.falsify(|line| {
            let line = answered(line, "order").filter(|line| line["replayed"] == true)?;
            line["value"]["order"] = json!("ord_other");
            Some(())
        });
    }),
    ("once", Kind::OrdersOnce, |run| {
        run.falsify(|line| {
            let line = answered(line, "settle").filter(|line| line["replayed"] == true)?;
            line.as_object_mut()?.remove("replayed").map(|_| ())
        });
    }),
    ("once", Kind::OrdersOnce, |run| {
        run.falsify(|line| {
            let reused = line["value"]["refused"] == "idempotency_key_reused";
            reused.then(|| line["value"]["refused"] = json!("limit_reached"))
        });
    }),
    ("once", Kind::Register, |run| {
        for dump in &mut run.dumps {
            let edit = dump.edits.last().unwrap().clone();
            dump.edits
                .push(firstcome_jepsen::record::dump::EditRow { revision: 9_999_999, ..edit });
        }
    }),
    ("oversell", Kind::Conservation, |run| {
        run.falsify(|line| add(&mut answered(line, "stock")?["value"]["sold"], 1));
    }),
    ("undersell", Kind::FlashSale, |run| {
        let dump = &mut run.dumps[1];
        let pool = dump.pools.values_mut().find(|pool| pool.sold > 0).unwrap();
        pool.sold -= 1;
        pool.available += 1;
    }),
    ("conservation", Kind::Conservation, |run| {
        run.dumps[2].ledger.as_mut().unwrap().pop().unwrap();
    }),
    ("conservation", Kind::FlashSale, |run| {
        let rows = &mut run.dumps[0].orders;
        rows.iter_mut().find(|row| row.status == "paid").unwrap().quantity += 1;
    }),
    ("set_full", Kind::OrderSet, |run| {
        run.falsify(|line| {
            let rows = answered(line, "orders")?["value"]["orders"].as_array_mut()?;
            rows.pop().map(|_| ())
        });
    }),
    ("session", Kind::Sessions, |run| {
        run.falsify(|line| {
            let line = answered(line, "look").or(None)?;
            line["rev"] = json!(1);
            Some(())
        });
    }),
    ("revocation", Kind::Accounts, |run| {
        run.falsify(|line| {
            refused(line, "refresh", "token_revoked")?;
            line["value"] = json!({"user": "usr_1", "generation": 1});
            Some(())
        });
    }),
    ("renewal", Kind::Accounts, |run| {
        run.falsify(|line| add(&mut answered(line, "refresh")?["value"]["generation"], 1));
    }),
    ("one_account", Kind::Accounts, |run| {
        run.falsify(|line| {
            refused(line, "sign_up", "email_unverified")?;
            line["value"] = json!({"user": "usr_other"});
            Some(())
        });
    }),
    ("tries", Kind::Accounts, |run| {
        run.falsify(|line| {
            refused(line, "guess", "code_invalid")?;
            line["value"] = json!({"token": "tok_other"});
            Some(())
        });
    }),
    ("last_admin", Kind::Accounts, |run| {
        run.falsify(|line| {
            refused(line, "manage", "permission_denied")?;
            line["value"] = json!({"role": "customer", "status": "active", "version": 99});
            Some(())
        });
    }),
];

#[test]
fn one_falsified_answer_is_found_by_its_checker() {
    let mut runs: Vec<(Kind, Run)> = Vec::new();
    for (at, (checker, kind, falsify)) in CANARIES.iter().enumerate() {
        if runs.iter().all(|(of, _)| of != kind) {
            runs.push((*kind, rehearse(*kind, 11)));
        }
        let mut run = runs.iter().find(|(of, _)| of == kind).unwrap().1.clone();
        assert_eq!(run.finding(checker).verdict, Verdict::True, "{checker}, {kind:?}");
        falsify(&mut run);
        let finding = run.finding(checker);
        assert_eq!(finding.verdict, Verdict::False, "{at}: {checker}, {kind:?}: {finding:?}");
    }
}

#[test]
fn a_client_beyond_the_pinned_ones_roams() {
    assert_eq!(workload::home(0, 3), Some(0));
    assert_eq!(workload::home(5, 3), Some(2));
    assert_eq!(workload::home(6, 3), None);
}
