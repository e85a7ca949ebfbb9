# Each recipe is one plain command, so `just` is optional.

# All checks that a change must pass. Writes only build output.
check:
    .ci/run

# Applies clippy's automatic fixes and formats the code.
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged && cargo fmt --all

# Runs the tests only.
test:
    cargo test --workspace

# Starts three nodes on this machine, runs a sale with the leader killed, and keeps the nodes up.
cluster:
    cargo run --release -- demo --keep-running

# Kills real nodes with SIGKILL for 30 s and checks the recorded history.
jepsen:
    cargo build --release --workspace && target/release/jepsen run

# Simulates whole clusters in one process and virtual time: 64 seeds.
sim:
    cd jepsen/sim && cargo run -- sweep --short --seeds 1..65 --jobs 2

# Builds the product with the harness, the fault build, and the simulation.
builds:
    cargo build --release --workspace && cargo build --release --features fault --target-dir target/fault && cd jepsen/sim && cargo build

# Runs six workloads under eight nemeses, 60 s each: 80 minutes on two cores. All long jobs need
# `just builds` first. The matrix also needs root, iproute2 and iptables, for network namespaces.
long-matrix:
    target/release/jepsen matrix --seconds 60 --fault-binary target/fault/release/firstcome --alternate '--network proxy' --alternate '--network netns' --workloads flash_sale,orders_once,order_set,conservation,sessions,accounts --nemeses kill,pause,partition,link,power,disk,clock,membership

# Runs five nodes under chaos for half an hour; each segment continues on the data of the last one.
long-soak:
    target/release/jepsen soak --minutes 30 --nodes 5 --nemesis chaos --fault-binary target/fault/release/firstcome

# Simulates a thousand seeds.
long-sim:
    cd jepsen/sim && cargo run -- sweep --seeds 1000..2000 --jobs 2

# Checks that every seeded bug is found by every test layer that must find it.
long-prove:
    target/release/jepsen prove --fault-binary target/fault/release/firstcome

# Runs all fuzz targets for six minutes each. Needs a nightly compiler and cargo-fuzz.
long-fuzz:
    for t in $(ls jepsen/fuzz/corpus); do mkdir -p target/fuzz/$t && cargo +nightly fuzz run --fuzz-dir jepsen/fuzz --features libfuzzer $t target/fuzz/$t jepsen/fuzz/corpus/$t -- -max_total_time=360 || exit 1; done

# Checks the property tests on 20 000 histories each.
long-properties:
    PROPTEST_CASES=20000 cargo test --release -p firstcome-domain --test rules properties

# Mutation tests of the domain rules: every mutant must fail a test. Needs cargo-mutants.
long-mutants:
    cargo mutants --jobs 2 --package firstcome-domain

# Mutation tests of the harness's checkers. Needs cargo-mutants.
long-mutants-judges:
    cargo mutants --jobs 2 --package firstcome-jepsen -- --lib --test judges -- --skip rehearsal --skip proxy

# Measures purchases per second on three local nodes.
bench:
    cargo run --release -- bench
