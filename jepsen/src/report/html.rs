//! The page: plain HTML with its style and its charts inside.

use crate::judge::check::wgl::{OperationText, StuckObject};
use crate::judge::check::{Evidence, Finding, Judgement, Verdict};
use crate::record::node_log::Line;

use super::{plot, summary, timeline};

const STYLE: &str = include_str!("style.css");

/// The contents of a page.
pub(super) struct Contents<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) judgement: &'a Judgement,
    /// When the first wrong thing was requested, if known.
    pub(super) first_error: Option<u64>,
    pub(super) stuck: Vec<StuckObject>,
    /// What the nodes logged around the first error.
    pub(super) excerpt: Vec<Line>,
}

/// The whole page.
pub(super) fn page(contents: &Contents<'_>) -> String {
    let test = &contents.evidence.metadata;
    let title = format!("{} under {}", test.workload, test.nemesis);
    let body = [
        head(contents),
        checkers(contents),
        first_error(contents),
        claims(contents),
        drawings(contents),
        coverage(contents),
        parameters(contents),
        not_tested(contents),
    ];
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <title>{}: {}</title><style>{STYLE}</style></head><body><main>\n{}\n</main></body></html>\n",
        word(contents.judgement.verdict),
        escape(&title),
        body.join("\n")
    )
}

/// Escapes text for HTML.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            other => safe.push(other),
        }
    }
    safe
}

/// A time of the run, in seconds.
pub(super) fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// A number with its digits in groups of three.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped += "&#8239;";
        }
        grouped.push(digit);
    }
    grouped
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::True => "true",
        Verdict::Unknown => "unknown",
        Verdict::False => "false",
    }
}

fn badge(verdict: Verdict) -> String {
    format!("<span class=\"badge {0}\">{0}</span>", word(verdict))
}

fn section(id: &str, title: &str, body: &str) -> String {
    format!("<section id={id}><h2>{title}</h2>\n{body}</section>")
}

fn head(contents: &Contents<'_>) -> String {
    let Contents { evidence, judgement, first_error, .. } = contents;
    let test = &evidence.metadata;
    let link = match first_error {
        Some(_) => "<p><a href=#first-error>Go to the first error</a></p>",
        None => "",
    };
    format!(
        "<header class={0}><p class=kicker>{1} under {2}, {3} nodes, {4} s, seed {5}</p>\
         <h1>{0}</h1><p class=sentence>{6}</p><p class=small>{7}</p>{link}</header>",
        word(judgement.verdict),
        escape(&test.workload),
        escape(&test.nemesis),
        test.nodes,
        test.seconds,
        test.seed,
        summary::sentence(evidence, judgement, *first_error),
        summary::consequence(judgement.verdict)
    )
}

fn checkers(contents: &Contents<'_>) -> String {
    let mut rows = String::new();
    for finding in &contents.judgement.findings {
        rows += &format!(
            "<tr id=checker-{0}><td>{1}</td><td><b>{0}</b></td><td class=count>{2}</td><td>{3}{4}\
             </td></tr>",
            escape(&finding.checker),
            badge(finding.verdict),
            format_args!("{} {}", number(finding.checked), summary::unit(&finding.checker)),
            summary::meaning(&finding.checker),
            notes(finding)
        );
    }
    section(
        "checkers",
        "Verdicts",
        &format!(
            "<p class=small>False beats unknown beats true.</p><table><tr><th>verdict<th>checker<th class=count>checked<th>what it checks</tr>{rows}</table>"
        ),
    )
}

fn notes(finding: &Finding) -> String {
    let notes = finding.notes.iter().map(|note| format!("<li>{}</li>", escape(note)));
    let notes: String = notes.collect();
    if notes.is_empty() { notes } else { format!("<ul class=notes>{notes}</ul>") }
}

fn claims(contents: &Contents<'_>) -> String {
    let mut rows = String::new();
    for (name, claim, checkers) in summary::CLAIMS {
        let (shown, by) = match summary::word_on(contents.judgement, checkers) {
            Some((verdict, by)) => (badge(verdict), by.join(", ")),
            None => ("<span class=\"badge none\">not checked</span>".to_owned(), String::new()),
        };
        rows += &format!(
            "<tr><td>{shown}</td><td><b>{name}.</b> {claim}</td><td class=by>{by}</td></tr>"
        );
    }
    section(
        "claims",
        "Claims under test",
        &format!("<table><tr><th>verdict<th>claim<th>checked by</tr>{rows}</table>"),
    )
}

fn drawings(contents: &Contents<'_>) -> String {
    let Contents { evidence, first_error, .. } = contents;
    let (processes, part) = timeline::draw(evidence, *first_error);
    let bands = "<span class=\"key fault\"></span> a fault that took effect \
         <span class=\"key fault idle\"></span> a fault without effect";
    format!(
        "{}{}{}",
        section(
            "latency",
            "Latency of answered requests",
            &format!(
                "<p class=legend><span class=\"key p50\"></span> median \
                 <span class=\"key p99\"></span> 99th percentile \
                 <span class=\"key max\"></span> maximum {bands}</p>{}",
                plot::latency(evidence, *first_error)
            )
        ),
        section(
            "rate",
            "Requests a second",
            &format!(
                "<p class=legend><span class=\"key done\"></span> done \
                 <span class=\"key refused\"></span> refused by a rule \
                 <span class=\"key failed\"></span> did not run \
                 <span class=\"key lost\"></span> outcome unknown {bands}</p>{}",
                plot::rate(evidence, *first_error)
            )
        ),
        section(
            "timeline",
            "Timeline of each process",
            &format!(
                "<p class=small>{part}. A process ends with its first lost response. Scroll to the \
                 right; hover over a bar for details. p0, p1 and so on are clients, each with one \
                 request at a time. A revision is the log position that an answer names. \
                 Refused early: a node refused from a read, without a log entry, and that read may \
                 be 200 ms old.</p>\
                 <p class=legend><span class=\"key done\"></span> done \
                 <span class=\"key refused\"></span> refused \
                 <span class=\"key early\"></span> refused early \
                 <span class=\"key failed\"></span> did not run \
                 <span class=\"key lost\"></span> outcome unknown</p>\
                 <div class=scroll>{processes}</div>"
            )
        )
    )
}

fn coverage(contents: &Contents<'_>) -> String {
    let (counts, refusals) = summary::operations(contents.evidence);
    let mut rows = String::new();
    for (f, count) in &counts {
        rows += &format!("<tr><td>{}</td>", escape(f));
        for cell in [count.asked, count.done, count.refused, count.early, count.failed, count.lost]
        {
            rows += &format!("<td class=count>{}</td>", number(cell));
        }
        rows += "</tr>";
    }
    let operations = format!(
        "<table><tr><th>operation<th class=count>asked<th class=count>done<th class=count>refused\
         <th class=count>refused early<th class=count>did not run<th class=count>unknown</tr>{rows}\
         </table>"
    );
    let pairs = |pairs: Vec<(String, String)>, left: &str, right: &str| {
        let rows = pairs.into_iter().map(|(name, value)| {
            format!("<tr><td>{}</td><td class=count>{value}</td></tr>", escape(&name))
        });
        let rows: String = rows.collect();
        if rows.is_empty() {
            return String::new();
        }
        format!("<table class=half><tr><th>{left}<th class=count>{right}</tr>{rows}</table>")
    };
    let refusals = refusals.iter().map(|(code, n)| ((*code).to_owned(), number(*n))).collect();
    let faults = summary::faults(contents.evidence);
    let faults = faults.into_iter().map(|(name, (all, took))| (name, format!("{took} of {all}")));
    let tables = [
        operations,
        "<div class=row>".to_owned(),
        pairs(refusals, "refusal", "times"),
        pairs(faults.collect(), "fault", "took effect"),
        "</div>".to_owned(),
    ];
    section("coverage", "What was exercised", &tables.concat())
}

fn parameters(contents: &Contents<'_>) -> String {
    let test = &contents.evidence.metadata;
    let unknown = |text: &str| if text.is_empty() { "not recorded".into() } else { escape(text) };
    let started = match test.started_unix_ms {
        0 => "not recorded".to_owned(),
        ms => crate::record::run_metadata::utc_text(ms / 1_000),
    };
    let rows = [
        ("run", escape(&contents.evidence.history.run)),
        ("workload", escape(&test.workload)),
        ("nemesis", escape(&test.nemesis)),
        ("nodes", test.nodes.to_string()),
        ("network", unknown(&test.network)),
        ("clients ran for", format!("{} s, then {} s of calm", test.seconds, test.calm_seconds)),
        ("seed", test.seed.to_string()),
        ("started", started),
        ("product", unknown(&test.version)),
        ("binary", unknown(&test.binary)),
        ("SHA-256 of the binary", unknown(&test.binary_sha256)),
        ("commit of the harness", unknown(&test.commit)),
        ("harness", unknown(&test.jepsen)),
        ("machine", unknown(&test.machine)),
        ("seeded bug in every node", escape(test.bug.as_deref().unwrap_or("none"))),
        ("continued with the data of", unknown(test.previous.as_deref().unwrap_or("no other run"))),
    ];
    let rows = rows.map(|(name, value)| format!("<tr><th>{name}</th><td>{value}</td></tr>"));
    section(
        "parameters",
        "Parameters and versions",
        &format!(
            "<table class=parameters>{}</table><p>To repeat the same load and faults (their timing \
             will differ):</p><pre>{}</pre>\
             <p>To judge this run again, from the parent directory:</p><pre>jepsen check {}</pre>",
            rows.concat(),
            escape(test.command().as_deref().unwrap_or("not recorded")),
            escape(&contents.evidence.history.run)
        ),
    )
}

fn not_tested(contents: &Contents<'_>) -> String {
    let list = summary::not_tested(contents.evidence, contents.judgement);
    let list: String = list.iter().map(|text| format!("<li>{}</li>", escape(text))).collect();
    section(
        "not-tested",
        "What was not tested",
        &format!(
            "<ul>{list}</ul><p class=small>The method is Jepsen-style; nobody else has audited \
             it.</p>"
        ),
    )
}

fn first_error(contents: &Contents<'_>) -> String {
    let Some(at) = contents.first_error else { return String::new() };
    let mut body = format!(
        "<p>The first thing that a checker found wrong was requested {} into the run.</p>",
        seconds(at)
    );
    body += &around(contents, at);
    for stuck in &contents.stuck {
        body += &window(stuck);
    }
    body += &excerpt(contents, at);
    section("first-error", "The first error", &body)
}

/// The requests that were open at the first error.
fn around(contents: &Contents<'_>, at: u64) -> String {
    let attempts = &contents.evidence.history.attempts;
    let open = attempts
        .iter()
        .filter(|attempt| attempt.called <= at && attempt.ended.is_none_or(|end| end >= at))
        .take(30);
    let rows: String =
        open.map(|attempt| format!("<li>{}</li>", escape(&timeline::words(attempt)))).collect();
    format!("<h3>Requests open at that moment</h3><ul class=mono>{rows}</ul>")
}

fn window(stuck: &StuckObject) -> String {
    let rows = |operation: &[OperationText], class: &str| {
        let row = |operation: &OperationText| {
            let returned = operation.returned.map_or_else(|| "never".into(), seconds);
            format!(
                "<tr class={class}><td class=count>{}</td><td class=count>{returned}</td><td>{}\
                 </td><td>{}</td><td>{}</td></tr>",
                seconds(operation.called),
                escape(&operation.call),
                escape(&operation.answer),
                escape(&operation.model)
            )
        };
        operation.iter().map(row).collect::<String>()
    };
    let head = |last: &str| {
        format!(
            "<tr><th class=count>asked<th class=count>answered<th>request<th>answer<th>{last}</tr>"
        )
    };
    format!(
        "<h3>Where the search got stuck: {}</h3>\
         <p>{} operations fit into one order. These are the last of them, with the state of the model \
         after each:</p><table class=mono>{}{}</table>\
         <p>None of these can come next:</p><table class=mono>{}{}</table>",
        escape(&stuck.pool),
        number(stuck.placed as u64),
        head("state of the model"),
        rows(&stuck.prefix, "fits"),
        head("the model would answer"),
        rows(&stuck.window, "stuck")
    )
}

fn excerpt(contents: &Contents<'_>, at: u64) -> String {
    if contents.excerpt.is_empty() {
        return "<h3>Node logs</h3><p class=small>No node logged anything within 2 s of it.</p>"
            .to_owned();
    }
    let mut rows = String::new();
    for line in &contents.excerpt {
        let own = line.at_ms.and_then(|ms| contents.evidence.metadata.since_start(ms));
        let offset = own.map_or(String::new(), |own| {
            let sign = if own < at { '-' } else { '+' };
            format!("{sign}{}", seconds(own.abs_diff(at)))
        });
        rows += &format!(
            "<tr><td>{}</td><td class=count>{}</td><td class=count>{offset}</td><td>{}</td></tr>",
            escape(&line.node),
            line.number,
            escape(&shortened(&line.text))
        );
    }
    format!(
        "<h3>Node logs from 2 s before to 2 s after</h3><table class=mono><tr><th>node\
         <th class=count>line<th class=count>offset<th>text</tr>{rows}</table>"
    )
}

/// Level, message and other fields of a JSON line; other lines unchanged.
fn shortened(text: &str) -> String {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_str(text) else {
        return text.to_owned();
    };
    let mut take = |name: &str| match fields.remove(name) {
        Some(serde_json::Value::String(text)) => text,
        _ => String::new(),
    };
    let (level, message) = (take("level"), take("msg"));
    take("node");
    take("ts");
    let rest = fields.iter().map(|(name, value)| format!(" {name}={value}"));
    format!("{level}: {message}{}", rest.collect::<String>())
}
