//! Every mode, against nodes that echo. Node 0 has no listener here, it only calls.

use std::io::ErrorKind;

use super::*;
use crate::drive::cluster::network::NoopNetwork;

/// Time limit for something that must happen.
const LIMIT: Duration = Duration::from_secs(20);
/// How long nothing may arrive where nothing should.
const SILENCE: Duration = Duration::from_millis(150);

/// A node that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}

fn two_nodes() -> (tempfile::TempDir, Proxy) {
    let dir = tempfile::tempdir().unwrap();
    let nodes = [echo(), echo()].map(|peer| Addresses { api: peer, peer }).to_vec();
    let proxy = Proxy::between(nodes, &dir.path().join("proxy.jsonl")).unwrap();
    (dir, proxy)
}

fn call(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.dial(0, 1).unwrap()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

#[track_caller]
fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

#[track_caller]
fn hears_nothing(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    stream.set_read_timeout(Some(LIMIT)).unwrap();
}

#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain");
        thread::yield_now();
    }
}

#[test]
fn a_healthy_link_carries_both_ways_and_counts() {
    let (_dir, mut proxy) = two_nodes();
    echoes(&mut call(&proxy), &vec![7; 200_000]);
    assert_eq!(proxy.traffic(0, 1).unwrap().carried, 200_000);
    assert_eq!(proxy.traffic(1, 0).unwrap().carried, 200_000);
}

#[test]
fn a_blackhole_swallows_and_a_healed_connection_that_lost_bytes_ends() {
    let (_dir, mut proxy) = two_nodes();
    let mut stream = call(&proxy);
    echoes(&mut stream, b"before");
    proxy.cut(0, 1, CutMode::Blackhole).unwrap();
    stream.write_all(b"lost").unwrap();
    until(|| proxy.traffic(0, 1).unwrap().lost == 4);
    hears_nothing(&mut stream);
    assert_eq!(proxy.traffic(0, 1).unwrap().carried, 6);
    proxy.heal_all().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "its ends no longer agree");
    echoes(&mut call(&proxy), b"after");
}

#[test]
fn a_one_way_cut_lets_the_request_arrive_and_loses_the_answer() {
    let (_dir, mut proxy) = two_nodes();
    let mut stream = call(&proxy);
    proxy.cut(1, 0, CutMode::Blackhole).unwrap();
    stream.write_all(b"ask").unwrap();
    until(|| proxy.traffic(1, 0).unwrap().lost == 3);
    assert_eq!(proxy.traffic(0, 1).unwrap().carried, 3);
    hears_nothing(&mut stream);
}

#[test]
fn a_refusing_link_ends_what_is_open_and_takes_nothing_new_until_healed() {
    let (_dir, mut proxy) = two_nodes();
    let mut stream = call(&proxy);
    echoes(&mut stream, b"before");
    proxy.cut(0, 1, CutMode::Refuse).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    let at = proxy.dial(0, 1).unwrap();
    until(|| TcpStream::connect(at).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused));
    assert!(proxy.traffic(0, 1).unwrap().lost > 0);
    proxy.heal_all().unwrap();
    until(|| TcpStream::connect(at).is_ok());
    echoes(&mut call(&proxy), b"after");
}

#[test]
fn a_resetting_link_resets_at_the_next_byte() {
    let (_dir, mut proxy) = two_nodes();
    let mut stream = call(&proxy);
    echoes(&mut stream, b"before");
    proxy.cut(0, 1, CutMode::Reset).unwrap();
    stream.write_all(b"x").unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    proxy.heal_all().unwrap();
    echoes(&mut call(&proxy), b"after");
}

#[test]
fn a_delayed_lane_holds_up_what_it_carries() {
    let (_dir, mut proxy) = two_nodes();
    let mut stream = call(&proxy);
    echoes(&mut stream, b"before");
    let shape = Shape { delay_ms: 80, jitter_ms: 20, ..Shape::default() };
    proxy.shape(0, 1, shape).unwrap();
    let started = Instant::now();
    echoes(&mut stream, b"late");
    assert!(started.elapsed() >= Duration::from_millis(80));
    assert_eq!(proxy.traffic(0, 1).unwrap().slowed, 1);
    assert_eq!(proxy.traffic(1, 0).unwrap().slowed, 0);
}

#[test]
fn a_narrow_lane_takes_time_for_every_byte() {
    let (_dir, mut proxy) = two_nodes();
    let mut stream = call(&proxy);
    proxy.shape(0, 1, Shape { bytes_per_s: 20_000, ..Shape::default() }).unwrap();
    let started = Instant::now();
    echoes(&mut stream, &[1; 6_000]);
    // Three chunks of 2 000 bytes; the last one is not waited for.
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
    assert!(proxy.traffic(0, 1).unwrap().slowed >= 3);
}

#[test]
fn a_stalled_lane_keeps_its_bytes_until_healed() {
    let (_dir, mut proxy) = two_nodes();
    let mut stream = call(&proxy);
    proxy.shape(0, 1, Shape { stall_after: 4, ..Shape::default() }).unwrap();
    echoes(&mut stream, b"four");
    stream.write_all(b"held").unwrap();
    hears_nothing(&mut stream);
    assert!(proxy.traffic(0, 1).unwrap().slowed > 0);
    proxy.heal_all().unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"held");
}

#[test]
fn what_a_proxy_cannot_do_is_refused() {
    let (_dir, mut proxy) = two_nodes();
    assert!(proxy.shape(0, 1, Shape { loss_percent: 5, ..Shape::default() }).is_err());
}

#[test]
fn a_silent_network_says_yes_and_loses_nothing() {
    let (_dir, proxy) = two_nodes();
    let mut stream = call(&proxy);
    let mut silent = NoopNetwork(Box::new(proxy));
    silent.cut(0, 1, CutMode::Blackhole).unwrap();
    echoes(&mut stream, b"still here");
    assert_eq!(silent.traffic(0, 1).unwrap().lost, 0);
}

#[test]
fn the_journal_tells_what_was_cut_and_what_it_carried() {
    let (dir, mut proxy) = two_nodes();
    echoes(&mut call(&proxy), b"1234");
    proxy.cut(0, 1, CutMode::Blackhole).unwrap();
    proxy.heal_all().unwrap();
    let text = std::fs::read_to_string(dir.path().join("proxy.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |name: &str| lines.iter().find(|line| line["event"] == name).unwrap();
    assert_eq!(event("cut")["link"], "n1->n2");
    assert_eq!(event("heal")["traffic"]["carried"], 4);
}
