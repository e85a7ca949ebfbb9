//! The customers of one client, and their orders.

use std::collections::VecDeque;

use crate::record::invocation::Customer;
use crate::seed::Seed;

/// Customers a client uses in turn.
const ACTIVE: usize = 3;

/// Customers that only one client uses.
#[derive(Clone, Debug)]
pub(super) struct Customers(VecDeque<Customer>);

impl Customers {
    /// Divides customers among this many clients.
    pub(super) fn share_out(mut customers: Vec<Customer>, clients: usize) -> Vec<Self> {
        let each = customers.len() / clients.max(1);
        let share = |_| customers.split_off(customers.len().saturating_sub(each));
        (0..clients).map(share).map(|share| Self(share.into())).collect()
    }

    /// Takes a free customer, which stays taken until it is put back.
    pub(super) fn take(&mut self, seed: &mut Seed) -> Option<Customer> {
        let place = seed.below(ACTIVE.min(self.0.len()) as u64);
        self.0.remove(usize::try_from(place).unwrap_or(0))
    }

    /// Half of the time the next customer is a new one, so that a sale sells out in spite of its
    /// limit.
    pub(super) fn put_back(&mut self, seed: &mut Seed, customer: Customer) {
        if seed.below(2) == 0 {
            self.0.push_back(customer);
        } else {
            self.0.push_front(customer);
        }
    }
}

/// An order of a customer.
#[derive(Clone, Debug)]
pub(super) struct OwnedOrder {
    pub(super) sale: String,
    pub(super) order: String,
    pub(super) customer: Customer,
}
