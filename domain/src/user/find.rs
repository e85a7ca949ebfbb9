//! Finds users.

use super::row::{User, UsersByEmail};
use crate::kernel::id::UserId;
use crate::kernel::value::EmailIndex;
use crate::view::View;

/// The user with this e-mail address.
pub fn by_email(view: &impl View, email: EmailIndex) -> Option<UserId> {
    let head = email.head();
    let (first, last) = ((head, UserId::new(0)), (head, UserId::new(u128::MAX)));
    let found = view.scan::<UsersByEmail>(first, last, SAME_HEAD_MAX);
    let is_it = |id: &UserId| {
        let account = view.get::<User>(*id).and_then(|user| user.account.clone());
        account.is_some_and(|account| account.email_index == email)
    };
    found.into_iter().map(|(_, id)| id).find(is_it)
}

/// More than one match is practically impossible; the scan still needs a bound.
const SAME_HEAD_MAX: usize = 8;
