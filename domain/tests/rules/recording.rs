//! Recording a decision: its outcome is encoded once, for the receipt and for the reply.

use firstcome_domain::command::*;
use firstcome_domain::receipt::{Receipt, ReceiptKey};
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::value::Revision;
use firstcome_domain::{Millis, Outcome, Recorded, Refusal, Stamp, decide};

use crate::shop::*;

/// Decides at the next place in the log without a codec: the bytes are what the test says.
/// Answers the recorded decision and the outcomes that were encoded.
fn record(
    memory: &mut Memory,
    receipt: Option<ReceiptKey>,
    action: Action,
    bytes: &[u8],
) -> (Recorded, Vec<Outcome>) {
    let revision = Revision::new(memory.last().revision.get() + 1);
    let stamp = Stamp { revision, now: Millis::new(0) };
    let command = Command { actor: customer(1), receipt, action };
    let mut encoded = Vec::new();
    let recorded = decide(memory, &command, stamp).record(|outcome| {
        encoded.push(outcome.clone());
        bytes.to_vec()
    });
    memory.apply(stamp, &recorded.changes);
    (recorded, encoded)
}

fn receipt_of(recorded: &Recorded) -> Option<&Receipt> {
    entry(&recorded.changes).and_then(|entry| entry.receipt.as_ref())
}

#[test]
fn an_outcome_is_encoded_once_for_receipt_and_reply() {
    let mut memory = Shop::with_sale(1).memory;
    let (first, encoded) =
        record(&mut memory, Some(key(1, 1)), order_of(1, &[(S, 1)]), b"the first answer");
    assert!(matches!(encoded[..], [Outcome::Done(_)]), "{encoded:?}");
    assert_eq!((&first.outcome.0[..], first.replayed), (&b"the first answer"[..], false));
    assert_eq!(first.decided, memory.last());
    let receipt = receipt_of(&first).unwrap();
    assert_eq!((receipt.key, &receipt.outcome), (key(1, 1), &first.outcome));

    let (again, encoded) =
        record(&mut memory, Some(key(1, 1)), order_of(2, &[(S, 1)]), b"another answer");
    assert_eq!(encoded, [], "a replay has its bytes already");
    assert_eq!((&again.outcome, again.replayed), (&first.outcome, true));
    assert_eq!((again.decided, again.changes), (first.decided, Vec::new()));
}

#[test]
fn a_refusal_is_recorded_like_a_success() {
    let mut memory = Shop::with_sale(0).memory;
    let (first, encoded) = record(&mut memory, Some(key(1, 1)), order_of(1, &[(S, 1)]), b"no");
    let sold_out = Refusal::SoldOut { pool: S, available: Some(0) };
    assert_eq!(encoded, [Outcome::Refused(sold_out)]);
    assert_eq!(receipt_of(&first).unwrap().outcome.0, b"no");
    let (again, encoded) = record(&mut memory, Some(key(1, 1)), order_of(1, &[(S, 1)]), b"yes");
    assert_eq!((encoded, again.outcome.0), (Vec::new(), b"no".to_vec()));
}

#[test]
fn an_outcome_without_a_receipt_is_encoded_once_for_the_reply() {
    let mut memory = Shop::with_sale(1).memory;
    let (decided, encoded) = record(&mut memory, None, order_of(1, &[(S, 1)]), b"bytes");
    assert_eq!((encoded.len(), &decided.outcome.0[..]), (1, &b"bytes"[..]));
    assert_eq!(receipt_of(&decided), None);

    record(&mut memory, Some(key(1, 1)), Action::OrderCancel(OrderCancel { id: oid(1) }), b"a");
    let other = Action::OrderCancel(OrderCancel { id: oid(2) });
    let (reused, encoded) = record(&mut memory, Some(key(1, 2)), other, b"b");
    assert_eq!(encoded, [Outcome::Refused(Refusal::IdempotencyKeyReused)]);
    assert_eq!((reused.outcome.0, reused.changes), (b"b".to_vec(), Vec::new()));
}
