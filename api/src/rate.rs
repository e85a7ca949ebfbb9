//! Rate limits: how many requests a client may send in a time, by address and by account.
//!
//! Each limit is the generic cell rate algorithm of the `governor` crate over a bounded map, on this
//! node alone. When the map is full it drops an old client, whose bucket is then full again; those
//! that sent more than others stay longer.
//! The header fields are those of draft-ietf-httpapi-ratelimit-headers.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use firstcome_domain::UserId;
use firstcome_domain::value::EmailIndex;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::access::Caller;
use crate::budget::Budget;
use crate::problem::{Code, Problem};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Clients that one limit remembers: about 10 MB.
const CLIENTS_MAX: usize = 100_000;

/// Clients that are spared in one go when the oldest is to be forgotten.
const SPARED_MAX: usize = 8;

/// A number of requests per time; a client may send them all at once after a pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many.
    pub requests: NonZeroU32,
    /// In which time.
    pub per: Duration,
}

impl Rate {
    /// A rate of at least one request.
    pub const fn new(requests: u32, per: Duration) -> Self {
        let requests = match NonZeroU32::new(requests) {
            Some(requests) => requests,
            None => NonZeroU32::MIN,
        };
        Self { requests, per }
    }
}

/// The limits of a node. `None`: no limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateLimits {
    /// Catalogue and stock, per address.
    pub public_read_ip: Option<Rate>,
    /// Orders, per address.
    pub purchase_ip: Option<Rate>,
    /// Orders, per account.
    pub purchase_account: Option<Rate>,
    /// All other requests of customers, per account.
    pub customer_account: Option<Rate>,
    /// Requests of staff, per account.
    pub admin_account: Option<Rate>,
    /// Sign-up, login and what comes before them, per address.
    pub auth_ip: Option<Rate>,
    /// The same, per e-mail address.
    pub auth_account: Option<Rate>,
    /// Whether clients on this machine are limited too.
    pub loopback: bool,
    /// Proxies that are believed when they say for whom they ask (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for RateLimits {
    fn default() -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const TEN_SECONDS: Duration = Duration::from_secs(10);
        Self {
            public_read_ip: Some(Rate::new(50, SECOND)),
            purchase_ip: Some(Rate::new(30, TEN_SECONDS)),
            purchase_account: Some(Rate::new(5, TEN_SECONDS)),
            customer_account: Some(Rate::new(60, Duration::from_mins(1))),
            admin_account: Some(Rate::new(20, SECOND)),
            auth_ip: Some(Rate::new(10, Duration::from_mins(1))),
            auth_account: Some(Rate::new(5, Duration::from_mins(1))),
            loopback: false,
            trusted_proxies: Vec::new(),
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// Whom a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Client {
    /// An IPv4 address, or the first half of an IPv6 address: one customer has all of the rest.
    Address(IpAddr),
    Account(UserId),
    /// The first half of the hash of an e-mail address, with an account or without.
    Email(u128),
}

impl Client {
    fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// When each client's bucket will be full again, for clients whose bucket is not.
#[derive(Debug)]
struct Buckets {
    kept: Mutex<Kept>,
    clients_max: usize,
}

#[derive(Default, Debug)]
struct Kept {
    full_at: HashMap<Client, Nanos>,
    /// Those in the map, oldest first.
    order: VecDeque<Client>,
}

impl Kept {
    /// Forgets the oldest client, but first looks for one that has not sent more than a new one,
    /// whose bucket is full at `full_at`: many addresses must not give one client a full bucket.
    fn forget_one(&mut self, full_at: Nanos) {
        for _ in 0..SPARED_MAX {
            let oldest = self.order.front().and_then(|oldest| self.full_at.get(oldest));
            if oldest.is_none_or(|oldest| *oldest <= full_at) {
                break;
            }
            self.order.rotate_left(1);
        }
        if let Some(oldest) = self.order.pop_front() {
            self.full_at.remove(&oldest);
        }
    }
}

impl StateStore for Buckets {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, client: &Client, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut kept = self.kept.lock();
        let (answer, full_at) = measure(kept.full_at.get(client).copied())?;
        if kept.full_at.insert(*client, full_at).is_none() {
            kept.order.push_back(*client);
            if kept.order.len() > self.clients_max {
                kept.forget_one(full_at);
            }
        }
        Ok(answer)
    }
}

/// One limit.
struct Limit {
    limiter: RateLimiter<Client, Buckets, DefaultClock, StateInformationMiddleware>,
    rate: Rate,
    name: &'static str,
    policy: HeaderValue,
}

impl Limit {
    fn new(name: &'static str, rate: Rate, clients_max: usize) -> Option<Self> {
        let quota = Quota::with_period(rate.per / rate.requests.get())?.allow_burst(rate.requests);
        let buckets = Buckets { kept: Mutex::default(), clients_max };
        let limiter = RateLimiter::new(quota, buckets, DefaultClock::default());
        let seconds = rate.per.as_secs().max(1);
        let policy = format!("\"{name}\";q={};w={seconds}", rate.requests);
        let policy = HeaderValue::try_from(policy).ok()?;
        Some(Self { limiter, rate, name, policy })
    }

    /// Counts a request.
    fn check(&self, client: Client) -> Checked<'_> {
        match self.limiter.check_key(&client) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                // Full again after one period per request that is missing.
                let missing = self.rate.requests.get().saturating_sub(left);
                let full_in = self.rate.per / self.rate.requests.get() * missing;
                Checked { limit: self, left, wait: full_in, is_over: false }
            }
            Err(early) => {
                let wait = early.wait_time_from(DefaultClock::default().now());
                Checked { limit: self, left: 0, wait, is_over: true }
            }
        }
    }
}

/// What a limit says of a request.
pub(crate) struct Checked<'a> {
    limit: &'a Limit,
    left: u32,
    /// Until the bucket is full, or until the next request is allowed if this one was not.
    wait: Duration,
    is_over: bool,
}

impl Checked<'_> {
    fn seconds(&self) -> u32 {
        let whole = u32::try_from(self.wait.as_secs()).unwrap_or(u32::MAX);
        whole.saturating_add(u32::from(self.wait.subsec_nanos() > 0))
    }

    /// The refusal, if the request is one too many.
    pub(crate) fn refusal(&self) -> Option<Problem> {
        let problem = || Problem::new(Code::RateLimited).retry_after(self.seconds().max(1));
        self.is_over.then(problem)
    }

    /// Adds the header fields that tell the client where it stands.
    pub(crate) fn show(&self, headers: &mut HeaderMap) {
        headers.insert(RATE_LIMIT_POLICY, self.limit.policy.clone());
        let state = format!("\"{}\";r={};t={}", self.limit.name, self.left, self.seconds());
        if let Ok(state) = HeaderValue::try_from(state) {
            headers.insert(RATE_LIMIT, state);
        }
    }
}

/// All limits of a node.
pub(crate) struct Limits {
    public_read_ip: Option<Limit>,
    purchase_ip: Option<Limit>,
    purchase_account: Option<Limit>,
    customer_account: Option<Limit>,
    admin_account: Option<Limit>,
    auth_ip: Option<Limit>,
    auth_account: Option<Limit>,
    loopback: bool,
    trusted_proxies: Vec<IpNet>,
}

impl Limits {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        let limit = |name, rate: Option<Rate>| Limit::new(name, rate?, CLIENTS_MAX);
        Self {
            public_read_ip: limit("public-read-ip", limits.public_read_ip),
            purchase_ip: limit("purchase-ip", limits.purchase_ip),
            purchase_account: limit("purchase-account", limits.purchase_account),
            customer_account: limit("customer-account", limits.customer_account),
            admin_account: limit("admin-account", limits.admin_account),
            auth_ip: limit("auth-ip", limits.auth_ip),
            auth_account: limit("auth-account", limits.auth_account),
            loopback: limits.loopback,
            trusted_proxies: limits.trusted_proxies.clone(),
        }
    }

    /// Who is limited for what comes over this connection; `None` if nobody is. What a proxy on
    /// this machine passes on is not from this machine.
    pub(crate) fn address(&self, peer: Option<PeerAddress>, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer?.0.to_canonical();
        let is_local = peer.is_loopback() && !headers.contains_key(X_FORWARDED_FOR);
        (self.loopback || !is_local).then(|| self.behind_proxies(peer, headers))
    }

    /// The last address that no trusted proxy has: whatever is before it, anybody can write.
    fn behind_proxies(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_trusted =
            |address: &IpAddr| self.trusted_proxies.iter().any(|net| net.contains(address));
        let mut client = peer;
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        // Apart, because what a client wrote may be anything.
        let sent = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for part in sent {
            if !is_trusted(&client) {
                break;
            }
            let Some(address) = forwarded(part) else { break };
            client = address.to_canonical();
        }
        client
    }

    /// Counts a request against the limit of its address.
    pub(crate) fn check_address(&self, budget: Budget, address: IpAddr) -> Option<Checked<'_>> {
        let limit = match budget {
            Budget::PublicRead => &self.public_read_ip,
            Budget::Purchase => &self.purchase_ip,
            Budget::Auth => &self.auth_ip,
            Budget::Unbounded
            | Budget::ClusterStatus
            | Budget::StateHash
            | Budget::Customer
            | Budget::Admin => &None,
        };
        Some(limit.as_ref()?.check(Client::at(address)))
    }

    /// Counts a request against the limit of its account.
    pub(crate) fn check_account(&self, budget: Budget, caller: Caller) -> Option<Checked<'_>> {
        let limit = match budget {
            Budget::Purchase => &self.purchase_account,
            Budget::Customer => &self.customer_account,
            Budget::Admin | Budget::ClusterStatus | Budget::StateHash => &self.admin_account,
            Budget::Auth => &self.auth_account,
            Budget::Unbounded | Budget::PublicRead => &None,
        };
        Some(limit.as_ref()?.check(Client::Account(caller.id)))
    }

    /// Counts a request of somebody who is not logged in against the limit of the e-mail address
    /// that they name.
    pub(crate) fn check_email(&self, email: EmailIndex) -> Option<Checked<'_>> {
        Some(self.auth_account.as_ref()?.check(Client::Email(email.head())))
    }
}

/// An address as proxies write it: some add the port, and put brackets around IPv6.
fn forwarded(part: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(part).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

/// The limit that is closer to being reached.
pub(crate) fn tighter<'a>(
    one: Option<Checked<'a>>,
    other: Option<Checked<'a>>,
) -> Option<Checked<'a>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.left < one.left { other } else { one }),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use firstcome_domain::Role;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn limits(rate: Rate) -> Limits {
        Limits::new(&RateLimits {
            public_read_ip: Some(rate),
            purchase_ip: Some(Rate::new(100, HOUR)),
            purchase_account: Some(rate),
            ..RateLimits::default()
        })
    }

    fn customer(id: u128) -> Caller {
        Caller { id: UserId::new(id), role: Role::Customer, session: None }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_gets_its_burst_and_then_a_refusal_that_says_when_to_come_back() {
        let limits = limits(Rate::new(3, HOUR));
        let buy = |id| limits.check_account(Budget::Purchase, customer(id));
        for left in [2, 1, 0] {
            let checked = buy(1).unwrap();
            assert!(checked.refusal().is_none());
            assert_eq!(checked.left, left);
        }
        let checked = buy(1).unwrap();
        let mut headers = HeaderMap::new();
        checked.show(&mut headers);
        assert_eq!(headers[RATE_LIMIT_POLICY], "\"purchase-account\";q=3;w=3600");
        assert!(headers[RATE_LIMIT].to_str().unwrap().starts_with("\"purchase-account\";r=0;t=1"));
        let refused = checked.refusal().unwrap();
        assert_eq!(refused.code(), Code::RateLimited);
        let wait = refused.retry_after_seconds().unwrap();
        assert!((1100..=1200).contains(&wait), "a third of the hour: {wait}");
        assert!(!buy(2).unwrap().is_over, "another account has a bucket of its own");
        let other = limits.check_account(Budget::Customer, customer(1)).unwrap();
        assert!(!other.is_over, "and so has another class");
    }

    #[test]
    fn an_ipv6_client_is_its_first_half() {
        let limits = limits(Rate::new(1, HOUR));
        let read = |text| !limits.check_address(Budget::PublicRead, address(text)).unwrap().is_over;
        assert!(read("2001:db8:1:2::1"));
        assert!(!read("2001:db8:1:2:ffff::9"));
        assert!(read("2001:db8:1:3::1"));
        assert!(read("203.0.113.7"));
        assert!(!read("::ffff:203.0.113.7"), "the same client over a dual-stack socket");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let mut limits = limits(Rate::new(1, HOUR));
        let seen = |limits: &Limits, peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
            }
            limits.address(Some(PeerAddress(address(peer))), &headers).map(|a| a.to_string())
        };
        let client = |text: &str| Some(text.to_owned());
        assert_eq!(seen(&limits, "198.51.100.9", &["203.0.113.7"]), client("198.51.100.9"));
        limits.trusted_proxies =
            vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()];
        let limits = limits;
        assert_eq!(seen(&limits, "198.51.100.9", &["203.0.113.7"]), client("198.51.100.9"));
        assert_eq!(seen(&limits, "10.1.2.3", &["203.0.113.7"]), client("203.0.113.7"));
        // The client wrote the first address, the outer proxy the second, the inner one the third.
        let chain = ["192.0.2.1, 203.0.113.7", "10.9.9.9"];
        assert_eq!(seen(&limits, "127.0.0.1", &chain), client("203.0.113.7"));
        assert_eq!(seen(&limits, "10.1.2.3", &["garbage"]), client("10.1.2.3"));
        assert_eq!(seen(&limits, "10.1.2.3", &[]), client("10.1.2.3"));
        assert_eq!(
            seen(&limits, "127.0.0.1", &[]),
            None,
            "clients on this machine are not limited"
        );
        // A proxy on this machine, also one that is not trusted or says nothing of use.
        assert_eq!(seen(&limits, "127.0.0.1", &["127.0.0.1"]), client("127.0.0.1"));
        assert_eq!(seen(&limits, "127.0.0.1", &["unknown"]), client("127.0.0.1"));
        assert_eq!(seen(&limits, "::1", &["203.0.113.7"]), client("::1"));
        for written in ["203.0.113.7:4711", "[203.0.113.7]", "::ffff:203.0.113.7"] {
            assert_eq!(seen(&limits, "127.0.0.1", &[written]), client("203.0.113.7"));
        }
        for written in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711"] {
            assert_eq!(seen(&limits, "10.1.2.3", &[written]), client("2001:db8::1"));
        }
    }

    /// Story: one byte that is no text hid what the proxy had written behind it.
    #[test]
    fn bytes_of_a_client_do_not_hide_its_address() {
        let mut limits = limits(Rate::new(1, HOUR));
        limits.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        let peer = Some(PeerAddress(address("127.0.0.1")));
        let seen = |line: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
            limits.address(peer, &headers)
        };
        assert_eq!(seen(b"\xff, 203.0.113.7"), Some(address("203.0.113.7")));
        assert_eq!(seen(b"\xff"), Some(address("127.0.0.1")));
    }

    /// A stranger with many addresses costs a bounded amount of memory.
    #[test]
    fn the_oldest_client_is_forgotten_when_there_are_too_many() {
        let limit = Limit::new("test", Rate::new(1, HOUR), 10).unwrap();
        for id in 0..100 {
            assert!(!limit.check(Client::Account(UserId::new(id))).is_over);
        }
        assert!(limit.check(Client::Account(UserId::new(99))).is_over);
        assert!(!limit.check(Client::Account(UserId::new(5))).is_over);
        let kept = limit.limiter.into_state_store();
        assert_eq!(kept.kept.lock().full_at.len(), 10);
    }

    /// Story: a client that was over its limit only had to wait until others had come.
    #[test]
    fn a_client_over_its_limit_is_not_the_first_to_be_forgotten() {
        let limit = Limit::new("test", Rate::new(3, HOUR), 10).unwrap();
        let is_over = |id| limit.check(Client::Account(UserId::new(id))).is_over;
        assert!((0..4).map(|_| is_over(0)).eq([false, false, false, true]));
        for id in 1..100 {
            assert!(!is_over(id));
        }
        assert!(is_over(0));
        // But if all have sent as much, one of them goes.
        for id in 200..220 {
            assert!((0..3).all(|_| !is_over(id)));
        }
        let buckets = limit.limiter.into_state_store();
        let kept = buckets.kept.lock();
        assert_eq!((kept.full_at.len(), kept.order.len()), (10, 10));
    }
}
