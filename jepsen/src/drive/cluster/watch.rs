//! What each node reports about the cluster, read from outside.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::process::Cluster;
use crate::drive::http_client::HttpClient;
use crate::record::http::Request;
use crate::record::timestamp;

/// A running node answers these from memory.
const ANSWER_LIMIT: Duration = Duration::from_millis(400);

/// The status of one node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: u64,
    /// The node it believes to be the leader.
    pub leader: Option<String>,
    /// Raft's term.
    pub term: u64,
    /// The last revision it applied.
    pub revision: u64,
}

/// A member as a node lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its id, which is never reused.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether it is a voter.
    pub is_voter: bool,
}

/// The status of every node that answers, by name.
pub fn statuses(cluster: &Cluster, token: &str) -> BTreeMap<String, NodeStatus> {
    let mut client = HttpClient::new(ANSWER_LIMIT);
    let request = Request::get("/v1/cluster?consistency=local", token);
    let running = cluster.nodes.iter().filter(|node| node.is_started());
    let status = |node: &super::process::Node| {
        let body = client.send(node.api, &request).ok()?.body?;
        let number = |name: &str| body.get(name).and_then(Value::as_u64);
        let status = NodeStatus {
            id: number("node_id")?,
            leader: body.get("leader").and_then(Value::as_str).map(str::to_owned),
            term: number("term")?,
            revision: number("revision")?,
        };
        Some((node.name.clone(), status))
    };
    running.filter_map(status).collect()
}

/// The index of the leader of the highest term that any node reports.
pub fn leader(cluster: &Cluster, token: &str) -> Option<usize> {
    let statuses = statuses(cluster, token);
    let newest = statuses
        .values()
        .filter(|status| status.leader.is_some())
        .max_by_key(|status| status.term)?;
    cluster.nodes.iter().position(|node| Some(&node.name) == newest.leader.as_ref())
}

/// The members as one node lists them.
pub fn members(api: SocketAddr, token: &str) -> Option<Vec<Member>> {
    let request = Request::get("/v1/cluster?consistency=local", token);
    let body = HttpClient::new(ANSWER_LIMIT).send(api, &request).ok()?.body?;
    let member = |row: &Value| {
        Some(Member {
            id: row.get("id")?.as_u64()?,
            name: row.get("name")?.as_str()?.to_owned(),
            is_voter: row.get("role")? == "voter",
        })
    };
    body.get("members")?.as_array()?.iter().map(member).collect()
}

/// The node's log time, in ms since 1970.
pub fn log_time_ms(api: SocketAddr, token: &str) -> Option<i64> {
    let body =
        HttpClient::new(ANSWER_LIMIT).send(api, &Request::get("/v1/time", token)).ok()?.body?;
    timestamp::unix_ms(body.get("now")?.as_str()?)
}

/// A gauge or counter of `GET /metrics`, without its prefix: `clock_offset_ms`.
pub fn metric(api: SocketAddr, name: &str) -> Option<i64> {
    let mut stream = TcpStream::connect_timeout(&api, ANSWER_LIMIT).ok()?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    value_of(&text, name)
}

fn value_of(text: &str, name: &str) -> Option<i64> {
    let mut lines =
        text.lines().filter_map(|line| line.strip_prefix("firstcome_")?.split_once(' '));
    lines.find(|(known, _)| *known == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let text = "# HELP firstcome_clock_offset_ms x\nfirstcome_clock_offset_ms -61000\n\
            firstcome_clock_fit 0\n";
        assert_eq!(value_of(text, "clock_offset_ms"), Some(-61_000));
        assert_eq!(value_of(text, "clock"), None);
    }
}
