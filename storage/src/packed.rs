//! Packed index keys: many keys of one term in one row of the file.
//!
//! An appended index only ever gains keys, and within a term they ascend with the log. So the keys
//! that a checkpoint adds to a term follow all that are there, and go into a row of their own:
//!
//! ```text
//! key     the first of the keys
//! value   the others, each without the term
//! ```

use std::collections::VecDeque;

use firstcome_domain::kernel::key::Key;

use crate::table::Table;

/// Keys in one row of the file at most: a page holds about that many.
const ROW_KEYS_MAX: usize = 128;

/// Packs keys that ascend: hands each row of the file to `put`.
pub(crate) fn pack<E>(
    table: Table,
    term_bytes: usize,
    keys: impl Iterator<Item = Key>,
    mut put: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut first: Option<Key> = None;
    let mut rest: Vec<u8> = Vec::new();
    let tail_bytes = table.key_bytes - term_bytes;
    for key in keys {
        let term = |key: &Key| key.as_slice().get(..term_bytes).map(<[u8]>::to_vec);
        if let Some(begun) = &first {
            let full = rest.len() >= tail_bytes * (ROW_KEYS_MAX - 1);
            if !full && term(begun) == term(&key) {
                rest.extend_from_slice(key.as_slice().get(term_bytes..).unwrap_or_default());
                continue;
            }
            put(begun.as_slice(), &rest)?;
            rest.clear();
        }
        first = Some(key);
    }
    first.map_or(Ok(()), |begun| put(begun.as_slice(), &rest))
}

/// The keys of one row of the file; `None` if it is not such a row.
pub(crate) fn unpack(
    table: Table,
    term_bytes: usize,
    first: &[u8],
    rest: &[u8],
) -> Option<VecDeque<Key>> {
    let tail_bytes = table.key_bytes.checked_sub(term_bytes)?;
    let term = first.get(..term_bytes)?;
    if first.len() != table.key_bytes || !rest.len().is_multiple_of(tail_bytes) {
        return None;
    }
    let tails = rest.chunks_exact(tail_bytes);
    let others = tails.map(|tail| Key::from_slice(&[term, tail].concat()));
    std::iter::once(Key::from_slice(first)).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use firstcome_domain::id::{OrderId, UserId};
    use firstcome_domain::kernel::row::Index as _;
    use firstcome_domain::order::row::OrdersByCustomer;
    use firstcome_domain::value::Revision;

    use super::*;

    #[test]
    fn keys_survive_packing_term_by_term() {
        let table = crate::table::find(OrdersByCustomer::TABLE).unwrap();
        let term_bytes = table.packed_term().unwrap();
        let key = |user: u128, ticket: u64| {
            Key::of(&(UserId::new(user), Revision::new(ticket), OrderId::new(u128::from(ticket))))
        };
        let mut keys: Vec<Key> = (0..300).map(|ticket| key(1, ticket)).collect();
        keys.extend([key(2, 5), key(3, 4), key(3, 9)]);
        let mut rows = Vec::new();
        let mut put = |first: &[u8], rest: &[u8]| {
            rows.push((first.to_vec(), rest.to_vec()));
            Ok::<(), ()>(())
        };
        pack(table, term_bytes, keys.iter().copied(), &mut put).unwrap();
        assert_eq!(rows.len(), 5, "300 keys take three rows, the other terms one each");
        let read =
            |(first, rest): &(Vec<u8>, Vec<u8>)| unpack(table, term_bytes, first, rest).unwrap();
        assert_eq!(rows.iter().flat_map(read).collect::<Vec<_>>(), keys);
        let (first, rest) = &rows[0];
        assert!(unpack(table, term_bytes, first, &rest[1..]).is_none());
        assert!(unpack(table, term_bytes, &first[1..], rest).is_none());
    }
}
