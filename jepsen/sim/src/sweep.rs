//! Many seeds, each in a process of its own with a limit of real time.
//!
//! The clocks of this process are frozen (see `main`), so real time is read from the kernel.

use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};

/// What to sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Processes at once.
    pub jobs: usize,
    /// Real seconds a seed may take.
    pub limit_seconds: f64,
    /// Passed on to every run.
    pub bug: Option<String>,
    /// Passed on to every run, too.
    pub short: bool,
    /// Where run directories go.
    pub store: std::path::PathBuf,
}

struct Job {
    seed: u64,
    child: Child,
    began: f64,
}

/// Seconds since the machine was started.
fn uptime() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn start(sweep: &Sweep, seed: u64) -> anyhow::Result<Job> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").arg("--seed").arg(seed.to_string()).arg("--store").arg(&sweep.store);
    if let Some(bug) = &sweep.bug {
        command.arg("--bug").arg(bug);
    }
    if sweep.short {
        command.arg("--short");
    }
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    Ok(Job { seed, child, began: uptime()? })
}

/// What a finished child said; `None` while it runs.
fn poll(job: &mut Job, limit: f64) -> anyhow::Result<Option<(bool, String)>> {
    if let Some(status) = job.child.try_wait()? {
        let mut said = String::new();
        if let Some(mut out) = job.child.stdout.take() {
            out.read_to_string(&mut said)?;
        }
        return Ok(Some((status.success(), said)));
    }
    if uptime()? - job.began > limit {
        job.child.kill()?;
        job.child.wait()?;
        return Ok(Some((false, format!("no end within {limit} s of real time"))));
    }
    Ok(None)
}

/// Runs all seeds; answers whether every one held.
pub fn sweep(sweep: &Sweep) -> anyhow::Result<bool> {
    ensure!(!sweep.seeds.is_empty(), "no seeds: the range is empty");
    let began = uptime()?;
    let mut left = sweep.seeds.clone();
    let mut jobs: Vec<Job> = Vec::new();
    let mut failed = Vec::new();
    let mut seconds = Vec::new();
    loop {
        while jobs.len() < sweep.jobs.max(1)
            && let Some(seed) = left.next()
        {
            jobs.push(start(sweep, seed)?);
        }
        if jobs.is_empty() {
            break;
        }
        let mut running = Vec::new();
        for mut job in jobs {
            let Some((held, said)) = poll(&mut job, sweep.limit_seconds)? else {
                running.push(job);
                continue;
            };
            seconds.push(uptime()? - job.began);
            let line = said.lines().find(|l| l.starts_with("seed ")).unwrap_or(said.trim());
            println!("{line}");
            if !held {
                failed.push(job.seed);
                report(&sweep.store, job.seed, &said);
            }
        }
        jobs = running;
        sleep(Duration::from_millis(20));
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
    println!(
        "{} seeds, {} failed {failed:?}, {:.0} s in all, {median:.1} s a seed (median), {:.1} s the \
         longest",
        seconds.len(),
        failed.len(),
        uptime()? - began,
        seconds.last().copied().unwrap_or_default(),
    );
    Ok(failed.is_empty())
}

/// Keeps what a failed seed said.
fn report(store: &Path, seed: u64, said: &str) {
    let path = store.join(format!("failed-{seed}.txt"));
    let kept = fs::create_dir_all(store).and_then(|()| fs::write(&path, said));
    match kept {
        Ok(()) => println!("  kept in {}", path.display()),
        Err(error) => println!("  cannot keep it in {}: {error}", path.display()),
    }
}
