//! The first frame each way: which release speaks, and which protocols it knows.
//!
//! ```text
//! oldest protocol u16 | newest protocol u16 | length u8 | release | encoded `Hello` or `Welcome`
//! ```
//!
//! Numbers are little endian. The part in front of the encoded value never changes, so that two
//! releases without a common protocol can still tell each other who they are. The value is read
//! only if they have one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use firstcome_storage::codec::{self, DecodeError};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::Frame;
use crate::protocol::{PROTOCOL, PROTOCOL_OLDEST};

/// A release, and the protocols it knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Speaker {
    oldest: u16,
    newest: u16,
    release: String,
}

impl Speaker {
    /// This release.
    fn own() -> Self {
        let release = codec::RELEASE.to_owned();
        Self { oldest: PROTOCOL_OLDEST, newest: PROTOCOL, release }
    }

    const fn understands(&self, other: &Self) -> bool {
        self.oldest <= other.newest && other.oldest <= self.newest
    }
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest, release } = self;
        if oldest == newest {
            write!(f, "release {release} (peer protocol {newest})")
        } else {
            write!(f, "release {release} (peer protocols {oldest} to {newest})")
        }
    }
}

/// A release speaks, and says something that only those who share a protocol read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Greeting<T> {
    speaker: Speaker,
    value: Option<T>,
}

impl<T> Greeting<T> {
    /// In the name of this release.
    pub(crate) fn own(value: T) -> Self {
        Self { speaker: Speaker::own(), value: Some(value) }
    }

    /// What was said, if the two releases have a protocol in common; else why nothing was.
    pub(crate) fn understood(self) -> Result<T, String> {
        let own = Speaker::own();
        let speaker = self.speaker;
        self.value.ok_or_else(|| format!("the peer is {speaker}, but this node is {own}"))
    }

    /// As another release would say it.
    #[cfg(test)]
    pub(crate) fn foreign(release: &str, protocol: u16) -> Self {
        let release = release.to_owned();
        Self { speaker: Speaker { oldest: protocol, newest: protocol, release }, value: None }
    }
}

impl<T: Serialize + DeserializeOwned> Frame for Greeting<T> {
    fn put(&self, body: &mut Vec<u8>) {
        body.put_u16_le(self.speaker.oldest);
        body.put_u16_le(self.speaker.newest);
        let release = self.speaker.release.as_bytes();
        body.put_u8(u8::try_from(release.len()).expect("a release has a short name"));
        body.put_slice(release);
        if let Some(value) = &self.value {
            codec::encode_into(value, body);
        }
    }

    fn take(mut body: Bytes) -> Result<Self, DecodeError> {
        let error = |what: &str| DecodeError::malformed(format!("greeting: {what}"));
        if body.len() < 5 {
            return Err(error("cut short"));
        }
        let (oldest, newest) = (body.get_u16_le(), body.get_u16_le());
        let length = usize::from(body.get_u8());
        if oldest > newest || body.len() < length {
            return Err(error("not a release"));
        }
        let release = String::from_utf8(body.split_to(length).to_vec());
        let release = release.map_err(|_| error("not a release"))?;
        let speaker = Speaker { oldest, newest, release };
        let value = speaker.understands(&Speaker::own()).then(|| codec::decode(&body)).transpose();
        Ok(Self { speaker, value: value? })
    }
}

/// Members that have no protocol in common with this release, by id, each with the reason.
#[derive(Clone, Default)]
pub(crate) struct Strangers(Arc<Mutex<BTreeMap<u64, String>>>);

impl Strangers {
    pub(crate) fn add(&self, id: u64, reason: &str) {
        self.0.lock().insert(id, reason.to_owned());
    }

    /// It was understood after all: its binary was replaced.
    pub(crate) fn remove(&self, id: u64) {
        self.0.lock().remove(&id);
    }

    /// Why this node cannot take part: if a majority of the voters cannot talk to it.
    pub(crate) fn majority(&self, voters: &[u64]) -> Option<String> {
        let strangers = self.0.lock();
        let among: Vec<&String> = voters.iter().filter_map(|id| strangers.get(id)).collect();
        let first = among.first()?;
        (among.len() * 2 > voters.len()).then(|| {
            format!("{} of {} voters cannot talk to it: {first}", among.len(), voters.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Welcome;

    fn sent(greeting: &Greeting<Welcome>) -> Greeting<Welcome> {
        let mut body = Vec::new();
        greeting.put(&mut body);
        Greeting::take(body.into()).unwrap()
    }

    #[test]
    fn releases_with_a_common_protocol_understand_each_other() {
        assert_eq!(sent(&Greeting::own(Welcome::Yes)).understood(), Ok(Welcome::Yes));
        let mut newer = Greeting::own(Welcome::Removed);
        newer.speaker.newest = 9;
        assert_eq!(sent(&newer).understood(), Ok(Welcome::Removed));
    }

    #[test]
    fn releases_without_a_common_protocol_name_each_other() {
        let why = sent(&Greeting::foreign("7.8.9", 9)).understood().unwrap_err();
        let own = codec::RELEASE;
        let expected = format!(
            "the peer is release 7.8.9 (peer protocol 9), but this node is release {own} (peer \
             protocol 1)"
        );
        assert_eq!(why, expected);
    }

    /// Whatever a later release says after its name, this one must get as far as the name.
    #[test]
    fn what_another_protocol_says_is_not_read() {
        let mut body = Vec::new();
        Greeting::<Welcome>::foreign("7.8.9", 9).put(&mut body);
        body.extend_from_slice(b"\xff\xfe something new");
        assert!(Greeting::<Welcome>::take(body.into()).unwrap().understood().is_err());
    }

    #[test]
    fn a_node_ends_only_when_a_majority_of_voters_cannot_talk_to_it() {
        let strangers = Strangers::default();
        strangers.add(2, "two");
        strangers.add(9, "no voter");
        assert_eq!(strangers.majority(&[1, 2, 3]), None);
        assert_eq!(strangers.majority(&[1, 2]), None, "half is no majority");
        strangers.add(3, "three");
        let why = strangers.majority(&[1, 2, 3]).unwrap();
        assert_eq!(why, "2 of 3 voters cannot talk to it: two");
        strangers.remove(2);
        assert_eq!(strangers.majority(&[1, 2, 3]), None);
    }
}
