# Each recipe is one plain command, so just stays optional.

# Everything a change must pass; writes nothing but build output.
check:
    .ci/run

# Formats, and applies what clippy is sure about.
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged && cargo fmt --all

# The tests alone.
test:
    cargo test --workspace

# Three nodes on this machine, sold out while the leader is killed; then stays up.
cluster:
    cargo run --release -- demo --keep-running

# Real nodes under SIGKILL for 30 s, judged from outside.
jepsen:
    cargo build --release --workspace && target/release/jepsen run

# The whole cluster in one process, in virtual time: 64 seeds.
sim:
    cd jepsen/sim && cargo run -- sweep --short --seeds 1..65 --jobs 2

# The plain product with the harness, the fault build beside it, and the simulation.
builds:
    cargo build --release --workspace && cargo build --release --features fault --target-dir target/fault && cd jepsen/sim && cargo build

# Five workloads under eight nemeses once, 60 s a cell: 68 minutes on two cores. The long jobs want
# all builds: `just builds`; the matrix wants root, iproute2 and iptables as well, for its namespaces.
long-matrix:
    target/release/jepsen matrix --seconds 60 --fault-binary target/fault/release/firstcome --alternate '--network proxy' --alternate '--network netns' --workloads flash_sale,orders_once,order_set,conservation,sessions --nemeses kill,pause,partition,link,power,disk,clock,membership

# Five nodes under chaos for half an hour, each segment on the data of the last.
long-soak:
    target/release/jepsen soak --minutes 30 --nodes 5 --nemesis chaos --fault-binary target/fault/release/firstcome

# A thousand seeds.
long-sim:
    cd jepsen/sim && cargo run -- sweep --seeds 1000..2000 --jobs 2

# Every seeded bug, on every layer that must notice it.
long-prove:
    target/release/jepsen prove --fault-binary target/fault/release/firstcome

# Ten fuzz targets for six minutes each; needs a nightly compiler and cargo-fuzz.
long-fuzz:
    for t in $(ls jepsen/fuzz/corpus); do mkdir -p target/fuzz/$t && cargo +nightly fuzz run --fuzz-dir jepsen/fuzz --features libfuzzer $t target/fuzz/$t jepsen/fuzz/corpus/$t -- -max_total_time=360 || exit 1; done

# Properties on 20 000 histories each.
long-properties:
    PROPTEST_CASES=20000 cargo test --release -p firstcome-domain --test rules properties

# Every rule changed in every small way: some test must notice. Wants cargo-mutants.
long-mutants:
    cargo mutants --jobs 2 --package firstcome-domain

# Every judge changed in every small way, likewise.
long-mutants-judges:
    cargo mutants --jobs 2 --package firstcome-jepsen -- --lib --test judges -- --skip rehearsal --skip proxy

# Purchases per second on a cluster of its own.
bench:
    cargo run --release -- bench
