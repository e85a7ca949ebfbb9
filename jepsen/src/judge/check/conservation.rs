//! Units are neither made nor lost: checked over every read and every dump, from rows alone,
//! without the model.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding};
use crate::judge::model::stock::{Accounts, Answer, Call};
use crate::judge::operation::Ended;
use crate::record::dump::{Dump, LedgerRow};

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("conservation");
    for operation in &evidence.operations {
        if let Ended::Decided { rev, answer: Answer::Stock(read), .. } = &operation.ended {
            let pool = operation.pool.as_deref().unwrap_or_default();
            let place = format!("revision {rev}: {pool}");
            adds_up(&place, read, Some(operation.called), &mut finding);
        }
    }
    if evidence.dumps.is_empty() {
        finding.unknown("no node was dumped");
    }
    let closed: BTreeSet<&str> = evidence
        .operations
        .iter()
        .filter(|o| o.call == Call::Close && matches!(o.decided(), Some((_, Answer::Stock(_)))))
        .filter_map(|o| o.pool.as_deref())
        .collect();
    for dump in &evidence.dumps {
        check_dump(evidence, dump, &closed, &mut finding);
    }
    finding
}

/// Every unit is in exactly one account. A negative account would not parse as a number at all.
fn adds_up(place: &str, read: &Accounts, at: Option<u64>, finding: &mut Finding) {
    finding.count();
    if read.available + read.held + read.sold + read.scrapped != read.stocked {
        finding.wrong_at(at, format!("{place} does not add up: {read:?}"));
    }
}

fn check_dump(evidence: &Evidence, dump: &Dump, closed: &BTreeSet<&str>, finding: &mut Finding) {
    let node = &dump.node;
    let products = dump.products.iter().map(|(id, row)| (id, &row.accounts));
    let pools: BTreeMap<&str, &Accounts> =
        dump.pools.iter().chain(products).map(|(id, accounts)| (id.as_str(), accounts)).collect();
    for (pool, accounts) in &pools {
        adds_up(&format!("{node}: {pool}"), accounts, None, finding);
        // A closed sale keeps nothing available.
        if closed.contains(pool) && accounts.available > 0 {
            finding.wrong(format!("{node}: {pool} is closed and has {accounts:?}"));
        }
    }
    held_and_sold(dump, finding);
    if let Some(ledger) = &dump.ledger {
        rebuilt(evidence, node, ledger, &pools, finding);
        left_once(node, ledger, finding);
    } else {
        finding.unknown(format!("{node} does not list its ledger"));
    }
}

/// Held and sold units are the ones in the orders, and what is sold was paid for.
fn held_and_sold(dump: &Dump, finding: &mut Finding) {
    let node = &dump.node;
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in &dump.orders {
        let (held, sold) = sums.entry(&row.pool).or_default();
        let is_sold = row.takes_units() && row.status != "payment_pending";
        if is_sold {
            *sold += row.quantity;
        } else if row.takes_units() {
            *held += row.quantity;
        }
        if let Some(payment) = &row.payment
            && (payment == "paid") != is_sold
        {
            finding.wrong(format!("{node}: {} is {}, its payment {payment}", row.id, row.status));
        }
    }
    for (pool, accounts) in &dump.pools {
        finding.count();
        let (held, sold) = sums.get(pool.as_str()).copied().unwrap_or_default();
        if (accounts.held, accounts.sold) != (held, sold) {
            finding.wrong(format!(
                "{node}: orders hold {held} and own {sold} of {pool}, which has {accounts:?}"
            ));
        }
    }
}

/// The accounts are the sums of the ledger, and no account went negative on the way.
fn rebuilt(
    evidence: &Evidence,
    node: &str,
    ledger: &[LedgerRow],
    pools: &BTreeMap<&str, &Accounts>,
    finding: &mut Finding,
) {
    let mut rows: Vec<&LedgerRow> = ledger.iter().collect();
    rows.sort_unstable_by_key(|row| (row.revision, row.offset));
    let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut first = true;
    for row in rows {
        let quantity = i64::try_from(row.quantity).unwrap_or(i64::MAX);
        *sums.entry((&row.pool, &row.to)).or_default() += quantity;
        let from = sums.entry((&row.pool, &row.from)).or_default();
        *from -= quantity;
        if *from < 0 && row.from != "outside" {
            let (pool, account, revision) = (&row.pool, &row.from, row.revision);
            let what = format!("{node}: {account} of {pool} is {from} at revision {revision}");
            // Rows are sorted by revision, so only the first one found is the first error.
            finding.wrong_at(first.then(|| evidence.asked_at(revision)).flatten(), what);
            first = false;
        }
    }
    for (pool, accounts) in pools {
        finding.count();
        let sum = |account| sums.get(&(*pool, account)).copied().unwrap_or(0);
        let given = [
            ("available", accounts.available),
            ("held", accounts.held),
            ("sold", accounts.sold),
            ("scrapped", accounts.scrapped),
        ];
        for (account, shown) in given {
            if i64::try_from(shown) != Ok(sum(account)) {
                finding.wrong(format!(
                    "{node}: {account} of {pool} is {shown}, its ledger says {}",
                    sum(account)
                ));
            }
        }
    }
}

/// An order takes its units once and gives them back at most once.
fn left_once(node: &str, ledger: &[LedgerRow], finding: &mut Finding) {
    let mut moved: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for row in ledger {
        // Units that a closed sale hands back carry the order they came from, but no longer belong
        // to it.
        let handed_back = row.from == "available" && row.to == "outside";
        if let (Some(order), false) = (&row.order, handed_back) {
            *moved.entry((order, &row.pool, &row.from)).or_default() += 1;
        }
    }
    for ((order, pool, from), times) in moved {
        if times > 1 {
            finding.wrong(format!("{node}: units of {order} left {from} of {pool} {times} times"));
        }
    }
}
