//! One network namespace per node, joined by a bridge. Needs root, `ip` and `iptables`.
//!
//! A cut drops packets at the receiver, so both ends keep half-open connections and the kernel
//! retransmits, which a proxy cannot imitate. Loss is random per packet. There is no delay, because
//! that would need `netem`. The host's address on the bridge reaches every node's REST port despite
//! any cut, because only the addresses of other nodes are dropped.
//!
//! Everything created here is called `fcj<process id>...`. What a crashed run left behind has the
//! id of a process that no longer exists; the next run removes it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::network::{Addresses, CutMode, Network, Shape, Traffic};

/// Prefix of every name created here.
const PREFIX: &str = "fcj";
/// Ports inside a namespace, where nobody else can take them.
const API_PORT: u16 = 8080;
const PEER_PORT: u16 = 9090;
/// The host's address on the bridge.
const HOST: u8 = 254;

/// The namespaces of one run; dropping it removes them.
#[derive(Debug)]
pub struct Netns {
    run: u32,
    nodes: usize,
    /// Active rules by (from, to), in the order they were added.
    rules: BTreeMap<(usize, usize), Vec<String>>,
}

/// Why namespaces cannot be used here; `None` if they can.
pub fn unavailable() -> Option<String> {
    for program in ["ip", "iptables"] {
        let asked =
            Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Some(format!("netns needs the program {program}"));
        }
    }
    let probe = format!("{PREFIX}{}probe", std::process::id());
    if let Err(error) = sh(&["ip", "netns", "add", &probe]) {
        return Some(format!("netns needs root: {error:#}"));
    }
    let works = sh(&["ip", "netns", "exec", &probe, "iptables", "-nL"]);
    // If it cannot be removed now, the next run removes it.
    _ = sh(&["ip", "netns", "del", &probe]);
    works.err().map(|error| format!("netns needs iptables in a namespace: {error:#}"))
}

impl Netns {
    /// Creates a namespace for every node.
    pub fn new(nodes: usize) -> anyhow::Result<Self> {
        ensure!(nodes < usize::from(HOST), "{nodes} nodes do not fit into one subnet");
        remove_leftovers()?;
        let made = Self { run: std::process::id(), nodes, rules: BTreeMap::new() };
        for command in set_up(made.run, nodes) {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            sh(&words)?;
        }
        Ok(made)
    }

    /// Runs `iptables` in the namespace of a node.
    fn tables(&self, at: usize, words: &str) -> anyhow::Result<String> {
        let space = space(self.run, at);
        let mut command = vec!["ip", "netns", "exec", &space, "iptables", "-w"];
        command.extend(words.split(' '));
        sh(&command)
    }

    fn add(&mut self, from: usize, to: usize, rule: String) -> anyhow::Result<()> {
        self.tables(to, &format!("-A INPUT {rule}"))?;
        self.rules.entry((from, to)).or_default().push(rule);
        Ok(())
    }
}

impl Network for Netns {
    fn addresses(&self) -> Vec<Addresses> {
        let at = |place| {
            let ip = address(self.run, place);
            let on = |port| SocketAddr::new(IpAddr::V4(ip), port);
            Addresses { api: on(API_PORT), peer: on(PEER_PORT) }
        };
        (0..self.nodes).map(at).collect()
    }

    fn dial(&self, _: usize, _: usize) -> Option<SocketAddr> {
        None
    }

    fn command(&self, at: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &space(self.run, at)]).arg(program);
        command
    }

    fn cut(&mut self, from: usize, to: usize, how: CutMode) -> anyhow::Result<()> {
        let source = address(self.run, from);
        self.add(
            from,
            to,
            match how {
                CutMode::Blackhole => format!("-s {source} -j DROP"),
                CutMode::Refuse | CutMode::Reset => {
                    format!("-s {source} -p tcp -j REJECT --reject-with tcp-reset")
                }
            },
        )
    }

    fn shape(&mut self, from: usize, to: usize, shape: Shape) -> anyhow::Result<()> {
        let only_loss = Shape { loss_percent: shape.loss_percent, ..Shape::default() };
        if shape != only_loss {
            bail!("namespaces only lose packets: delay, bandwidth and stall need --network proxy");
        }
        let (source, percent) = (address(self.run, from), shape.loss_percent);
        let probability = format!("0.{percent:02}");
        let rule =
            format!("-s {source} -m statistic --mode random --probability {probability} -j DROP");
        self.add(from, to, rule)
    }

    fn heal_all(&mut self) -> anyhow::Result<()> {
        for ((_, to), rules) in std::mem::take(&mut self.rules) {
            for rule in rules {
                self.tables(to, &format!("-D INPUT {rule}"))?;
            }
        }
        Ok(())
    }

    fn traffic(&mut self, from: usize, to: usize) -> anyhow::Result<Traffic> {
        let listed = self.tables(to, "-nvxL INPUT")?;
        let source = address(self.run, from).to_string();
        Ok(Traffic { lost: packets_from(&listed, &source), ..Traffic::default() })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The next run removes what is left.
        _ = remove_all_of(self.run);
    }
}

fn sh(words: &[&str]) -> anyhow::Result<String> {
    let (program, arguments) = words.split_first().context("nothing to run")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}`: {}", words.join(" "), stderr.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn space(run: u32, at: usize) -> String {
    format!("{PREFIX}{run}n{}", at + 1)
}

fn bridge(run: u32) -> String {
    format!("{PREFIX}{run}b")
}

/// A subnet per run, so that two runs do not collide. 10.199.0.0/16 holds 256.
fn address(run: u32, at: usize) -> Ipv4Addr {
    let [.., run] = run.to_be_bytes();
    Ipv4Addr::new(10, 199, run, u8::try_from(at + 1).unwrap_or(HOST))
}

/// The commands that create the namespaces, in order.
fn set_up(run: u32, nodes: usize) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut record_event =
        |line: String| commands.push(line.split(' ').map(str::to_owned).collect());
    let bridge = bridge(run);
    let host = address(run, usize::from(HOST) - 1);
    record_event(format!("ip link add {bridge} type bridge"));
    record_event(format!("ip addr add {host}/24 dev {bridge}"));
    record_event(format!("ip link set {bridge} up"));
    for at in 0..nodes {
        let (space, own) = (space(run, at), address(run, at));
        let (outer, inner) = (format!("{PREFIX}{run}v{}", at + 1), "eth0");
        record_event(format!("ip netns add {space}"));
        record_event(format!("ip link add {outer} type veth peer name {inner} netns {space}"));
        record_event(format!("ip link set {outer} master {bridge}"));
        record_event(format!("ip link set {outer} up"));
        record_event(format!("ip netns exec {space} ip addr add {own}/24 dev {inner}"));
        record_event(format!("ip netns exec {space} ip link set {inner} up"));
        record_event(format!("ip netns exec {space} ip link set lo up"));
    }
    commands
}

/// The process id in a name created here.
fn run_of(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

fn first_words(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.split([' ', ':', '@']).find(|word| !word.is_empty()))
}

fn remove_leftovers() -> anyhow::Result<()> {
    let listed = sh(&["ip", "netns", "list"])? + &bridges()?;
    let mut runs: Vec<u32> = first_words(&listed).filter_map(run_of).collect();
    runs.sort_unstable();
    runs.dedup();
    runs.retain(|run| !Path::new(&format!("/proc/{run}")).exists());
    runs.into_iter().try_for_each(remove_all_of)
}

/// Names of all bridges, one per line.
fn bridges() -> anyhow::Result<String> {
    let listed = sh(&["ip", "-o", "link", "show", "type", "bridge"])?;
    let names = listed.lines().filter_map(|line| line.split(": ").nth(1));
    Ok(names.flat_map(|name| [name, "\n"]).collect())
}

/// Removes the namespaces of a run with their interfaces, and its bridge.
fn remove_all_of(run: u32) -> anyhow::Result<()> {
    let spaces = sh(&["ip", "netns", "list"])?;
    for name in first_words(&spaces).filter(|name| run_of(name) == Some(run)) {
        sh(&["ip", "netns", "del", name])?;
    }
    for name in bridges()?.lines().filter(|name| run_of(name) == Some(run)) {
        sh(&["ip", "link", "del", name])?;
    }
    Ok(())
}

/// Packets dropped by the rules for a source, from the output of `iptables -nvxL`.
fn packets_from(listed: &str, source: &str) -> u64 {
    let stopped = listed.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&source).then(|| words.first()?.parse::<u64>().ok()).flatten()
    });
    stopped.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_tell_their_run() {
        for run in [7, 4_194_304] {
            for name in [bridge(run), format!("{PREFIX}{run}v9")] {
                assert!(name.len() <= 15, "{name}");
                assert_eq!(run_of(&name), Some(run));
            }
            assert_eq!(run_of(&space(run, 4)), Some(run));
        }
        assert_eq!(run_of("docker0"), None);
        assert_eq!(run_of("fcjx"), None);
        let listed = "fcj12n1 (id: 3)\nfcj12n2\nother\n";
        assert_eq!(first_words(listed).filter_map(run_of).collect::<Vec<_>>(), [12, 12]);
    }

    #[test]
    fn every_node_gets_a_wire_and_an_address_of_its_own() {
        let commands: Vec<String> = set_up(300, 3).iter().map(|words| words.join(" ")).collect();
        for (at, own) in ["10.199.44.1", "10.199.44.2", "10.199.44.3"].iter().enumerate() {
            let n = at + 1;
            let wanted = format!("ip netns exec fcj300n{n} ip addr add {own}/24 dev eth0");
            assert!(commands.contains(&wanted), "{wanted} in {commands:#?}");
        }
        assert_eq!(commands.iter().filter(|line| line.contains("type veth")).count(), 3);
        assert!(commands.iter().any(|line| line.contains("10.199.44.254/24 dev fcj300b")));
    }

    #[test]
    fn stopped_packets_are_counted_by_their_source() {
        let listed = "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n\
            pkts bytes target prot opt in out source destination\n\
            12 720 DROP 0 -- * * 10.199.44.1 0.0.0.0/0\n\
            3 180 DROP 0 -- * * 10.199.44.1 0.0.0.0/0 statistic mode random\n\
            9 540 DROP 0 -- * * 10.199.44.2 0.0.0.0/0\n";
        assert_eq!(packets_from(listed, "10.199.44.1"), 15);
        assert_eq!(packets_from(listed, "10.199.44.3"), 0);
    }
}
