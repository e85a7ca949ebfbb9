//! How fast entries become durable: 64 of 200 bytes per commit, as under a steady load.

use std::sync::mpsc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use firstcome_storage::dir::IdentityState;
use firstcome_storage::log::Entry;
use firstcome_storage::{DataDir, Identity, Log, LogOptions};

const CHUNK: u64 = 64;

fn append(c: &mut Criterion) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let identity = Identity {
        format: 1,
        cluster_uuid: "bench".into(),
        incarnation: 0,
        node_id: 1,
        name: "n1".into(),
        state: IdentityState::Active,
    };
    let dir = DataDir::create(&home.path().join("n1"), &identity).expect("a new directory");
    let log = Log::open(&dir, LogOptions::default()).expect("a new log");
    let mut next = 0;
    let mut group = c.benchmark_group("log_append");
    group.throughput(Throughput::Elements(CHUNK));
    group.bench_function("64_entries_of_200_bytes", |b| {
        b.iter(|| {
            let entries =
                (next..next + CHUNK).map(|index| Entry { index, bytes: vec![7; 200].into() });
            next += CHUNK;
            let (sender, receiver) = mpsc::channel();
            let done = Box::new(move |result| sender.send(result).unwrap_or_default());
            log.append(entries.collect(), done);
            receiver.recv().expect("answered").expect("durable");
        });
    });
    group.finish();
    assert_eq!(log.last_index(), next.checked_sub(1));
}

criterion_group!(benches, append);
criterion_main!(benches);
