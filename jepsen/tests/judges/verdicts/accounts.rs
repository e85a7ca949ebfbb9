//! Accounts: accesses with their times, and the verdict that must follow.

use firstcome_jepsen::judge::check::{self, Evidence, Finding, RunMetadata};
use firstcome_jepsen::record::history;
use serde_json::{Value, json};

use super::{False, True, Unknown, Verdict};

/// The checkers of accounts.
pub(super) const CHECKERS: [&str; 5] =
    ["revocation", "renewal", "one_account", "tries", "last_admin"];

/// One access: what, asked, answered, and when it began and ended.
type Access = (&'static str, Value, Told, (u64, u64));

/// What came back.
#[derive(Clone)]
enum Told {
    /// At a revision.
    Ok(Value, u64),
    Refused(&'static str),
    Lost,
    Never,
}

use Told::{Lost, Never, Ok as Done, Refused};

fn finding(checker: &str, accesses: &[Access], faults: &[&str]) -> Finding {
    let mut lines = Vec::new();
    for (p, (f, asked, told, (called, ended))) in accesses.iter().enumerate() {
        let line = json!({"p": p, "f": f, "node": "n1"});
        let with = |kind: &str, t: u64, value: Value| {
            let mut line = line.clone();
            (line["type"], line["t"], line["value"]) = (json!(kind), json!(t), value);
            line
        };
        lines.push(with("invoke", *called, asked.clone()));
        let mut end = match told {
            Done(value, _) => with("ok", *ended, value.clone()),
            Refused(code) => with("ok", *ended, json!({"refused": code})),
            Lost => with("info", *ended, json!({"error": "reset"})),
            Never => with("fail", *ended, json!({"error": "refused"})),
        };
        if end["type"] == "ok" {
            end["rev"] = json!(if let Done(_, rev) = told { *rev } else { *ended });
        }
        lines.push(end);
    }
    for fault in faults {
        lines.push(json!({"p": "nemesis", "type": "info", "f": fault, "t": 0, "value": null}));
    }
    lines.sort_by_key(|line| (line["t"].as_u64(), line["type"] == "invoke"));
    let mut page = vec![json!({"i": 0, "type": "header", "format": 1, "run": "r"})];
    page.extend(lines);
    for (at, line) in page.iter_mut().enumerate() {
        line["i"] = json!(at);
    }
    let page: Vec<String> = page.iter().map(Value::to_string).collect();
    let history = history::read(page.join("\n").as_bytes()).unwrap();
    let metadata = RunMetadata { workload: "accounts".into(), ..RunMetadata::default() };
    let evidence = Evidence::of(metadata, history, Vec::new()).unwrap();
    let checker = check::CHECKERS.iter().find(|c| c.name == checker).unwrap();
    (checker.check)(&evidence)
}

#[track_caller]
fn says(checker: &str, accesses: &[Access], verdict: Verdict, fact: &str) {
    let finding = finding(checker, accesses, &[]);
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    let named = finding.notes.iter().any(|note| note.contains(fact));
    assert!(named || fact.is_empty() && finding.notes.is_empty(), "{fact:?}: {finding:?}");
}

fn of(session: &str) -> Value {
    json!({"user": "usr_a", "session": session})
}

fn done() -> Told {
    Done(json!({}), 1)
}

fn opened(at: (u64, u64)) -> Access {
    let asked = json!({"email": "a@x", "password": 0});
    ("login", asked, Done(json!({"user": "usr_a", "session": "ses_1"}), 1), at)
}

fn me(told: Told, at: (u64, u64)) -> Access {
    ("me", of("ses_1"), told, at)
}

#[test]
fn nothing_is_carried_out_for_a_session_after_its_logout() {
    let logout = |told| ("logout", of("ses_1"), told, (20, 30));
    let used = |told, at| [opened((1, 2)), logout(told), me(done(), at)];
    says("revocation", &used(done(), (31, 32)), False, "logged out since 30 ns");
    says("revocation", &used(done(), (30, 40)), True, "");
    says("revocation", &used(done(), (21, 90)), True, "");
    for open in [Lost, Never] {
        says("revocation", &used(open, (31, 32)), Unknown, "nothing was revoked");
    }
    let other = ("rename", of("ses_2"), done(), (31, 32));
    says("revocation", &[opened((1, 2)), logout(done()), other], True, "");
    for told in [Refused("token_revoked"), Lost, Never] {
        says("revocation", &[opened((1, 2)), logout(done()), me(told, (31, 32))], True, "");
    }
    let mut renewed = of("ses_1");
    renewed["generation"] = json!(3);
    let renewed = ("refresh", renewed, done(), (31, 32));
    says("revocation", &[opened((1, 2)), logout(done()), renewed], False, "refresh of ses_1");
}

#[test]
fn a_refusal_can_be_what_ends_a_session() {
    let mut asked = of("ses_1");
    asked["generation"] = json!(0);
    for code in ["session_reuse", "token_revoked"] {
        let closed = ("refresh", asked.clone(), Refused(code), (20, 30));
        says("revocation", &[closed.clone(), me(done(), (31, 32))], False, "ses_1");
        says("revocation", &[closed, me(done(), (29, 32))], True, "");
    }
    // Another user of the session is nobody.
    let blocked = ("me", of("ses_1"), Refused("user_blocked"), (20, 30));
    says("revocation", &[blocked, me(done(), (31, 32))], Unknown, "nothing was revoked");
}

fn manage(change: &Value, version: u64, told: Told, at: (u64, u64)) -> Access {
    let mut asked = change.clone();
    (asked["user"], asked["version"]) = (json!("usr_a"), json!(version));
    let told = match told {
        Done(_, rev) => Done(json!({"version": version + 1}), rev),
        other => other,
    };
    ("manage", asked, told, at)
}

#[test]
fn who_is_blocked_does_nothing_until_they_may_be_let_in_again() {
    let block = manage(&json!({"blocked": true}), 4, done(), (20, 30));
    let unblock = |version, told| manage(&json!({"blocked": false}), version, told, (40, 50));
    let after = |more: &[Access], last: Access| {
        let mut all = vec![opened((1, 2)), block.clone()];
        all.extend(more.iter().cloned());
        all.push(last);
        all
    };
    says("revocation", &after(&[], me(done(), (31, 32))), False, "blocked since 30 ns");
    says("revocation", &after(&[], opened((31, 32))), False, "login of a@x");
    says("revocation", &after(&[], opened((29, 32))), True, "");
    // Let in again, or perhaps; the old session stays closed.
    for told in [done(), Lost] {
        says("revocation", &after(&[unblock(5, told.clone())], opened((45, 60))), True, "");
        let old = after(&[unblock(5, told)], me(done(), (55, 60)));
        says("revocation", &old, False, "blocked since 30 ns");
    }
    for (version, told) in [(5, Never), (5, Refused("version_mismatch")), (4, Lost)] {
        let not = after(&[unblock(version, told)], opened((55, 60)));
        says("revocation", &not, False, "blocked since 30 ns");
    }
    let (at_once, late) = ((35, 39), (35, 41));
    says("revocation", &after(&[unblock(5, done())], opened(at_once)), False, "blocked");
    says("revocation", &after(&[unblock(5, done())], opened(late)), True, "");
}

#[test]
fn who_was_demoted_does_nothing_as_staff() {
    let demote = manage(&json!({"role": "customer"}), 4, done(), (20, 30));
    let promote = |version| manage(&json!({"role": "operator"}), version, Lost, (40, 50));
    let staff = |f, at| (f, of("ses_1"), done(), at);
    for f in ["staff_read", "staff_write"] {
        says("revocation", &[demote.clone(), staff(f, (31, 32))], False, "demoted since 30 ns");
        says("revocation", &[demote.clone(), staff(f, (30, 32))], True, "");
        says("revocation", &[demote.clone(), promote(5), staff(f, (60, 70))], True, "");
        says("revocation", &[demote.clone(), promote(3), staff(f, (60, 70))], False, "demoted");
    }
    let by = json!({"user": "usr_b", "version": 1, "role": "customer", "by": of("ses_1")});
    let by = ("manage", by, Done(json!({"version": 2}), 9), (31, 32));
    says("revocation", &[demote.clone(), by], False, "manage of ses_1");
    says("revocation", &[demote, me(done(), (31, 32))], True, "");
}

#[test]
fn a_new_password_ends_what_the_old_one_opened() {
    let asked = json!({"user": "usr_a", "email": "a@x", "password": 1});
    let set = ("set_password", asked, done(), (20, 30));
    let issued = ("issue", of("tok_1"), Done(json!({"user": "usr_a"}), 3), (5, 6));
    let use_of = |session| ("me", of(session), done(), (31, 32));
    for session in ["ses_1", "tok_1"] {
        let all = [opened((1, 2)), issued.clone(), set.clone(), use_of(session)];
        says("revocation", &all, False, "password reset since 30 ns");
    }
    says("revocation", &[set.clone(), opened((31, 32))], False, "login of a@x");
    // It was opened while the password changed: before it or after it.
    says("revocation", &[opened((10, 25)), set.clone(), use_of("ses_1")], True, "");
    let new = json!({"email": "a@x", "password": 1});
    let new = ("login", new, Done(json!({"user": "usr_a", "session": "ses_3"}), 4), (31, 32));
    says("revocation", &[set, new, ("me", of("ses_3"), done(), (33, 34))], True, "");
}

fn renew(generation: u64, told: Told, at: (u64, u64)) -> Access {
    let mut asked = of("ses_1");
    asked["generation"] = json!(generation);
    ("refresh", asked, told, at)
}

fn next(generation: u64, refresh: &str) -> Told {
    Done(json!({"generation": generation, "refresh": refresh}), 1)
}

#[test]
fn one_token_has_one_successor() {
    let two = |other| [renew(0, next(1, "b"), (1, 5)), renew(0, other, (2, 6))];
    says("renewal", &two(next(1, "b")), True, "");
    says("renewal", &two(next(1, "c")), False, "another successor than at 1 ns");
    says("renewal", &two(next(2, "b")), False, "the next one is Some(Number(2))");
    says("renewal", &two(Lost), Unknown, "no token was used twice");
}

#[test]
fn an_older_token_is_not_taken() {
    let used = |at| {
        let late = renew(0, next(1, "b"), at);
        [
            renew(0, next(1, "b"), (1, 5)),
            renew(0, next(1, "b"), (2, 6)),
            renew(1, next(2, "c"), (7, 9)),
            late,
        ]
    };
    says("renewal", &used((10, 11)), False, "after generation 1 had been used at 9 ns");
    says("renewal", &used((8, 11)), True, "");
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn nobody_is_a_thief_for_being_a_little_late() {
    let late = |more: Option<Access>, ended| {
        let mut all = vec![renew(0, next(1, "b"), (1, 5)), renew(0, next(1, "b"), (2, 6))];
        all.extend(more);
        all.push(renew(0, Refused("session_reuse"), (ended - 5, ended)));
        all
    };
    says("renewal", &late(None, 3 * SECOND), False, "because of generation 0");
    says("renewal", &late(None, 25 * SECOND), False, "first used at 1 ns");
    says("renewal", &late(None, 26 * SECOND), True, "");
    for newer in [next(2, "c"), Lost] {
        says("renewal", &late(Some(renew(1, newer, (7, 9))), 3 * SECOND), True, "");
    }
    for newer in [Never, Refused("token_revoked")] {
        let all = late(Some(renew(1, newer, (7, 9))), 3 * SECOND);
        says("renewal", &all, False, "because of generation 0");
    }
    let newest = [renew(0, Refused("session_reuse"), (1, 5))];
    says("renewal", &newest, False, "its successor never");
    let finding = finding("renewal", &late(None, 3 * SECOND), &["clock"]);
    assert_eq!(finding.verdict, True, "nobody knows how long the grace was: {finding:?}");
}

fn signed_up(user: &str, at: (u64, u64)) -> Access {
    ("sign_up", json!({"email": "a@x"}), Done(json!({"user": user}), 1), at)
}

#[test]
fn an_address_has_one_account() {
    let refused = ("sign_up", json!({"email": "a@x"}), Refused("email_unverified"), (1, 3));
    says("one_account", &[signed_up("usr_a", (1, 2)), refused.clone()], True, "");
    says("one_account", &[refused], Unknown, "nobody signed up");
    let two = [signed_up("usr_a", (1, 2)), signed_up("usr_b", (1, 3))];
    says("one_account", &two, False, "usr_a, usr_b");
    let other = ("sign_up", json!({"email": "b@x"}), Done(json!({"user": "usr_b"}), 2), (1, 3));
    says("one_account", &[signed_up("usr_a", (1, 2)), other], True, "");
    says("one_account", &[signed_up("usr_b", (1, 2)), opened((3, 4))], False, "it is usr_a");
}

#[test]
fn a_user_who_signed_up_can_log_in() {
    let refused = |password: u64, at| {
        ("login", json!({"email": "a@x", "password": password}), Refused("login_refused"), at)
    };
    let after = |more: &[Access]| [&[signed_up("usr_a", (1, 10))], more].concat();
    says("one_account", &after(&[refused(0, (11, 12))]), False, "could not log in at 11 ns");
    says("one_account", &after(&[refused(0, (9, 12))]), True, "");
    let set = |told| {
        ("set_password", json!({"user": "usr_a", "email": "a@x", "password": 1}), told, (20, 30))
    };
    for told in [done(), Lost] {
        says("one_account", &after(&[set(told), refused(0, (31, 32))]), True, "");
    }
    says("one_account", &after(&[set(Never), refused(0, (31, 32))]), False, "at 31 ns");
    says("one_account", &after(&[set(done()), refused(1, (31, 32))]), False, "at 31 ns");
    says("one_account", &after(&[set(Lost), refused(1, (31, 32))]), True, "");
    let block = manage(&json!({"blocked": true}), 1, done(), (5, 6));
    says("one_account", &after(&[block, refused(0, (11, 12))]), True, "");
}

fn verify(told: Told) -> Access {
    ("verify", json!({"email": "a@x"}), told, (1, 2))
}

fn guess(is_right: bool, told: Told, at: (u64, u64)) -> Access {
    ("guess", json!({"email": "a@x", "right": is_right}), told, at)
}

#[test]
fn a_sixth_try_is_not_judged() {
    let tried = |last: Told, at| {
        let mut all = vec![verify(done())];
        all.extend((0..4).map(|at| guess(false, Refused("code_invalid"), (3 + at, 10))));
        all.push(guess(false, last, (4, 10)));
        all.push(guess(true, Done(json!({"token": "t"}), 9), at));
        all
    };
    says("tries", &tried(Refused("code_invalid"), (11, 12)), False, "after 5 wrong ones");
    let unknown = "no code was tried again";
    says("tries", &tried(Refused("code_invalid"), (10, 12)), Unknown, unknown);
    for open in [Lost, Never] {
        says("tries", &tried(open, (11, 12)), Unknown, unknown);
    }
    let mut refused = tried(Refused("code_invalid"), (11, 12));
    refused[6].2 = Refused("code_invalid");
    says("tries", &refused, True, "");
    refused.push(verify(Lost));
    says("tries", &refused, Unknown, unknown);
}

#[test]
fn a_code_is_exchanged_once() {
    let right = |at| guess(true, Done(json!({"token": "t"}), at), (at, at + 5));
    says("tries", &[verify(done()), right(3), right(4)], False, "taken before, at 3 ns");
    let wrong = guess(false, Done(json!({"token": "t"}), 4), (3, 4));
    says("tries", &[verify(done()), wrong], False, "is wrong");
}

#[test]
fn an_admin_stays() {
    let first = [("bootstrap", json!({"email": "a@x"}), Lost, (1, 2)), opened((3, 4))];
    let change = |user: &str, role: &str, version: u64, told: Told, at: (u64, u64)| {
        let asked = json!({"user": user, "version": version, "role": role});
        ("manage", asked, told, at)
    };
    let rev = |rev| Done(json!({"version": 9}), rev);
    let judge = |more: &[Access], verdict, fact| {
        says("last_admin", &[&first[..], more].concat(), verdict, fact);
    };
    let promoted = |told| change("usr_b", "admin", 1, told, (5, 6));
    let (a, b) = (change("usr_a", "customer", 1, rev(8), (10, 20)), |told| {
        change("usr_b", "customer", 2, told, (10, 20))
    });
    judge(&[promoted(rev(5)), a.clone(), b(Refused("permission_denied"))], True, "");
    judge(
        &[promoted(rev(5)), a.clone(), b(rev(9))],
        False,
        "revision 9 took the last admin, usr_b",
    );
    judge(&[promoted(Lost), a.clone()], True, "");
    judge(&[promoted(Never), a.clone()], False, "usr_a");
    judge(&[promoted(rev(5)), b(rev(7)), a.clone()], False, "usr_a");
    // What was done to a later version settles what became of an earlier request.
    judge(&[promoted(Lost), b(rev(7)), a.clone()], False, "usr_a");
    judge(&[promoted(rev(5))], Unknown, "no admin was demoted");
    let mut block = a;
    block.1 = json!({"user": "usr_a", "version": 1, "blocked": true});
    judge(&[block], False, "usr_a");
}
