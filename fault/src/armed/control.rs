//! The control socket: one JSON object a line in, one JSON object a line out.
//!
//! Plain threads and blocking reads: nothing here may depend on the runtime that is being broken.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::{armed_bugs, clock, disk, locked, points, seed, set_bug};
use crate::{Bug, File, Point, Trigger};

/// Where the socket is made.
const SOCKET_VARIABLE: &str = "FIRSTCOME_FAULT_SOCKET";
/// Longer requests are cut off: none of ours comes near.
const REQUEST_BYTES_MAX: u64 = 4096;

type Hook = Box<dyn Fn() -> Result<(), String> + Send>;

/// What a trigger does; the node says so when it starts.
static HOOKS: Mutex<Vec<(Trigger, Hook)>> = Mutex::new(Vec::new());

/// Says what a trigger does in this process; the last one counts.
pub fn on_trigger(trigger: Trigger, hook: impl Fn() -> Result<(), String> + Send + 'static) {
    let mut hooks = locked(&HOOKS);
    hooks.retain(|(known, _)| *known != trigger);
    hooks.push((trigger, Box::new(hook)));
}

/// Makes the control socket and answers on it; without one a fault build does not serve.
pub fn listen() -> Result<(), String> {
    let Some(path) = std::env::var_os(SOCKET_VARIABLE).map(PathBuf::from) else {
        return Err(format!(
            "this is a fault build, made to be broken by tests: set {SOCKET_VARIABLE}=PATH for \
             its control socket, or run a build without the feature `fault`"
        ));
    };
    let listener = bind(&path).map_err(|error| {
        format!("{SOCKET_VARIABLE}: cannot listen on {}: {error}", path.display())
    })?;
    let spawned = std::thread::Builder::new().name("fault".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that stays must not keep the next one waiting.
            drop(std::thread::Builder::new().name("fault".into()).spawn(|| converse(stream)));
        }
    });
    spawned.map(drop).map_err(|error| format!("cannot start the control thread: {error}"))
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    // What a killed process left behind; anything that is not a socket stays.
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers one client until it leaves.
fn converse(stream: UnixStream) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        match io::Read::take(&mut lines, REQUEST_BYTES_MAX).read_line(&mut line) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let reply = answer(&line).unwrap_or_else(|error| json!({ "error": error }));
        // In one write: what was asked for may end the process while it is answered.
        if out.write_all(format!("{reply}\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// Does what one line asks for.
fn answer(line: &str) -> Result<Value, String> {
    let request: Value =
        serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
    match text(&request, "do")? {
        "status" => {}
        "clock" => {
            let drift_ppm = whole(&request, "drift_ppm")?.unwrap_or(0);
            clock::set(whole(&request, "offset_ms")?.ok_or("offset_ms is missing")?, drift_ppm);
        }
        "failpoint" => failpoint(&request)?,
        "disk" => disk_fault(&request)?,
        "bug" => {
            let on = request.get("on").and_then(Value::as_bool);
            set_bug(Bug::named(text(&request, "name")?)?, on.ok_or("on is true or false")?);
        }
        "elect" => trigger(Trigger::Elect)?,
        "snapshot" => trigger(Trigger::Snapshot)?,
        other => {
            return Err(format!(
                "do: {other:?} is none of: status, clock, failpoint, disk, bug, elect, snapshot"
            ));
        }
    }
    Ok(status())
}

fn failpoint(request: &Value) -> Result<(), String> {
    let point = Point::named(text(request, "name")?)?;
    let action = match text(request, "action")? {
        "panic" => Some(points::Action::Panic),
        "sleep" => Some(points::Action::Sleep(pause(request)?)),
        "off" => None,
        other => return Err(format!("action: {other:?} is none of: panic, sleep, off")),
    };
    points::plan(point, action, count(request, "times")?);
    Ok(())
}

fn disk_fault(request: &Value) -> Result<(), String> {
    let action = match text(request, "action")? {
        "eio" => disk::Action::Eio,
        "enospc" => disk::Action::Enospc,
        "slow" => disk::Action::Slow(pause(request)?),
        "off" => {
            disk::plan(None);
            return Ok(());
        }
        other => return Err(format!("action: {other:?} is none of: eio, enospc, slow, off")),
    };
    let file = match request.get("file").and_then(Value::as_str) {
        None | Some("any") => None,
        Some(name) => Some(File::named(name)?),
    };
    let every = count(request, "every")?.unwrap_or(1);
    disk::plan(Some(disk::Plan { action, file, every }));
    Ok(())
}

fn trigger(wanted: Trigger) -> Result<(), String> {
    let hooks = locked(&HOOKS);
    let hook = hooks.iter().find(|(trigger, _)| *trigger == wanted);
    let (_, hook) = hook.ok_or("the node has not started yet: ask again")?;
    hook()
}

/// What is armed and planned, and what happened so far.
fn status() -> Value {
    let bugs = armed_bugs();
    let fired = |all: &[(&str, u64)]| -> Value {
        all.iter().map(|(name, times)| ((*name).to_owned(), json!(times))).collect()
    };
    let names: Vec<&str> = bugs.iter().map(|(name, _)| *name).collect();
    json!({
        "build": "fault",
        "pid": std::process::id(),
        "seed": seed(),
        "bugs": names,
        "offset_ms": clock::clock_offset_ms(),
        "fired": {
            "bugs": fired(&bugs),
            "failpoints": fired(&points::fired()),
            "disk": fired(&disk::fired()),
        },
    })
}

fn text<'a>(request: &'a Value, field: &str) -> Result<&'a str, String> {
    request.get(field).and_then(Value::as_str).ok_or_else(|| format!("{field} must be a string"))
}

fn whole(request: &Value, field: &str) -> Result<Option<i64>, String> {
    let Some(value) = request.get(field) else { return Ok(None) };
    value.as_i64().map(Some).ok_or_else(|| format!("{field} must be a whole number"))
}

fn count(request: &Value, field: &str) -> Result<Option<u64>, String> {
    let Some(value) = request.get(field) else { return Ok(None) };
    value.as_u64().map(Some).ok_or_else(|| format!("{field} must be a whole number from 0 up"))
}

fn pause(request: &Value) -> Result<Duration, String> {
    count(request, "ms")?.map(Duration::from_millis).ok_or_else(|| "ms is missing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_request_is_told_what_is_allowed() {
        for (line, part) in [
            ("", "not a JSON object"),
            ("7", "do must be a string"),
            (r#"{"do":"explode"}"#, "status, clock, failpoint"),
            (r#"{"do":"clock"}"#, "offset_ms is missing"),
            (r#"{"do":"clock","offset_ms":"1"}"#, "whole number"),
            (r#"{"do":"failpoint","name":"nowhere","action":"off"}"#, "log_append_before"),
            (r#"{"do":"failpoint","name":"flush_callback","action":"x"}"#, "panic, sleep, off"),
            (r#"{"do":"failpoint","name":"flush_callback","action":"sleep"}"#, "ms is missing"),
            (r#"{"do":"disk","action":"eio","file":"tape"}"#, "log, state"),
            (r#"{"do":"bug","name":"no_bug","on":true}"#, "oversell_off_by_one"),
            (r#"{"do":"bug","name":"no_receipt"}"#, "true or false"),
            (r#"{"do":"elect"}"#, "not started"),
        ] {
            let told = answer(line).unwrap_err();
            assert!(told.contains(part), "{line}: {told}");
        }
    }

    #[test]
    fn a_client_talks_over_the_socket() {
        let here = tempdir();
        let path = here.join("control");
        let listener = bind(&path).unwrap();
        // A node that was killed leaves its socket behind.
        drop(listener);
        let listener = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let server = std::thread::spawn(move || converse(listener.accept().unwrap().0));
        let mut client = UnixStream::connect(&path).unwrap();
        let mut replies = BufReader::new(client.try_clone().unwrap());
        let mut ask = |line: &str| -> Value {
            writeln!(client, "{line}").unwrap();
            let mut reply = String::new();
            replies.read_line(&mut reply).unwrap();
            serde_json::from_str(&reply).unwrap()
        };
        let clock = ask(r#"{"do":"clock","offset_ms":-60000}"#);
        assert_eq!(clock["offset_ms"], -60_000);
        assert_eq!(ask(r#"{"do":"clock","offset_ms":0}"#)["build"], "fault");
        let armed = ask(r#"{"do":"bug","name":"wiped_node_keeps_id","on":true}"#);
        assert!(armed["bugs"].to_string().contains("wiped_node_keeps_id"), "{armed}");
        ask(r#"{"do":"bug","name":"wiped_node_keeps_id","on":false}"#);
        assert!(ask("?")["error"].is_string());
        drop((client, replies));
        server.join().unwrap();
        fs::remove_dir_all(here).unwrap();
    }

    /// A folder of this test alone.
    fn tempdir() -> PathBuf {
        let path = std::env::temp_dir().join(format!("firstcome-fault-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }
}
