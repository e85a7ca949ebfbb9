//! Personal data: checked, then sealed before it becomes part of a command.
//!
//! Format: `format | alg (1: AES-256-GCM) | key version, u32 BE | nonce, 12 bytes | ciphertext |
//! tag, 16 bytes`. The additional data is kind, owner, field and key version, each with its
//! length in front, so that a value moved to another owner or kind does not open.
//!
//! | format | the key |
//! |---|---|
//! | 1 | follows from that version of the master key: HKDF with the owner's id. The cluster's own keys and the keys of users are wrapped so, too |
//! | 2 | is the user's own, in that version ([`DataKey`]) |

use std::fmt::Display;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use firstcome_domain::keyring::{ClusterKey, Purpose};
use firstcome_domain::user::{Account, User};
use firstcome_domain::value::{SEALED_BYTES_MAX, Sealed};
use firstcome_domain::{EffectId, UserId};
use rand::TryRngCore as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::country::Country;
use crate::fields::{Fields, phone};
use crate::keys::{Keys, Version, random_key};
use crate::problem::{Code, Problem};
use crate::seeded;

/// Under a key that follows from the master key.
const BY_MASTER: u8 = 1;
/// Under a user's own key.
const BY_USER: u8 = 2;
const AES_256_GCM: u8 = 1;
const HEAD_BYTES: usize = 6;
const NONCE_BYTES: usize = 12;

/// A delivery address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Address)]
pub(crate) struct DeliveryAddress {
    /// The customer's name for it, 1 to 50 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 50)]
    pub(crate) label: Option<String>,
    /// The recipient, 1 to 50 characters.
    #[schema(max_length = 50)]
    pub(crate) recipient: String,
    /// 8 to 20 digits, `+` and `-`.
    #[schema(min_length = 8, max_length = 20)]
    pub(crate) phone: String,
    /// Two capital letters of ISO 3166-1; the country of the deployment unless sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "KR", pattern = "^[A-Z]{2}$")]
    pub(crate) country: Option<String>,
    /// 1 to 20 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 20)]
    pub(crate) postcode: Option<String>,
    /// State, province or the like, 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub(crate) region: Option<String>,
    /// 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub(crate) city: Option<String>,
    /// First line, 1 to 200 characters.
    #[schema(max_length = 200)]
    pub(crate) line1: String,
    /// Second line, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub(crate) line2: Option<String>,
}

impl DeliveryAddress {
    /// Trims and checks every field, fills in the country, and records invalid fields in `fields`.
    pub(crate) fn clean(self, at: &str, default: Country, fields: &mut Fields) -> Self {
        let pointer = |name| format!("{at}/{name}");
        let phone = phone(pointer("phone"), &self.phone, fields);
        let country = self.country.map_or(Ok(default), |code| code.parse::<Country>());
        if let Err(wrong) = country {
            fields.wrong(pointer("country"), "invalid", &wrong.to_string());
        }
        Self {
            label: fields.optional_text(pointer("label"), self.label, 50, false),
            recipient: fields.text(pointer("recipient"), &self.recipient, 50, false),
            phone,
            country: country.ok().map(|country| country.code().to_owned()),
            postcode: fields.optional_text(pointer("postcode"), self.postcode, 20, false),
            region: fields.optional_text(pointer("region"), self.region, 100, false),
            city: fields.optional_text(pointer("city"), self.city, 100, false),
            line1: fields.text(pointer("line1"), &self.line1, 200, false),
            line2: fields.optional_text(pointer("line2"), self.line2, 200, false),
        }
    }
}

/// The owner of personal data: a user with a data key, or one without an account.
pub(crate) struct Owner {
    id: UserId,
    key: Option<DataKey>,
}

impl Owner {
    /// The owner with their row, if there is one.
    pub(crate) fn of(keys: &Keys, id: UserId, row: Option<&User>) -> Result<Self, Problem> {
        match row.and_then(|user| user.account.as_ref()) {
            Some(account) => Self::of_account(keys, id, account),
            None => Ok(Self { id, key: None }),
        }
    }

    /// The owner of an account.
    pub(crate) fn of_account(keys: &Keys, id: UserId, account: &Account) -> Result<Self, Problem> {
        Ok(Self { id, key: Some(DataKey::open(keys, id, &account.data_key)?) })
    }
}

/// Seals an address for its owner. `at` is its pointer in the request.
pub(crate) fn seal_address(
    keys: &Keys,
    owner: &Owner,
    body: &DeliveryAddress,
    at: &str,
) -> Result<Sealed, Problem> {
    let plain = serde_json::to_vec(body).map_err(|_| unsealed())?;
    let id = owner.id.to_string();
    let names = address_of(&id);
    let sealed = match &owner.key {
        Some(own) => seal(BY_USER, &own.key, DataKey::VERSION, &names, &plain),
        None => keys.signer().and_then(|version| {
            seal(BY_MASTER, &version.data_key(&id), version.number, &names, &plain)
        }),
    };
    let sealed = sealed.ok_or_else(unsealed)?;
    if sealed.0.len() > SEALED_BYTES_MAX {
        return Err(Problem::field(at, "too_long", "the address as a whole is too long"));
    }
    Ok(sealed)
}

/// Opens the address of the row `of`. Fails if it belongs to another owner, is damaged, or was sealed
/// with a key that this node does not have.
pub(crate) fn open_address(
    keys: &Keys,
    owner: &Owner,
    sealed: &Sealed,
    of: impl Display,
) -> Result<DeliveryAddress, Problem> {
    let id = owner.id.to_string();
    let names = address_of(&id);
    let plain = match version_of(sealed) {
        Some(number) => keys
            .version(number)
            .and_then(|version| open(BY_MASTER, &version.data_key(&id), &names, sealed)),
        None => owner.key.as_ref().and_then(|own| open(BY_USER, &own.key, &names, sealed)),
    };
    let address = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    address.ok_or_else(|| {
        tracing::error!(row = %of, "cannot open an address: is a version of the master key missing?");
        unsealed()
    })
}

/// Wraps a key of the cluster.
pub(crate) fn wrap(
    version: &Version,
    purpose: Purpose,
    number: u32,
    key: &[u8; 32],
) -> Option<ClusterKey> {
    let bytes = number.to_be_bytes();
    let names = cluster_key(purpose, &bytes);
    let wrapped = seal(BY_MASTER, &version.wrapping_key(), version.number, &names, key)?;
    Some(ClusterKey { purpose, number, wrapped, master: version.number })
}

/// Opens a key of the cluster. `None` if this node lacks the version that wraps it, or it is
/// damaged.
pub(crate) fn unwrap(keys: &Keys, key: &ClusterKey) -> Option<[u8; 32]> {
    let version = keys.version(key.master).filter(|_| version_of(&key.wrapped) == Some(key.master));
    let number = key.number.to_be_bytes();
    let names = cluster_key(key.purpose, &number);
    open(BY_MASTER, &version?.wrapping_key(), &names, &key.wrapped)?.try_into().ok()
}

/// Kind, purpose and number of a key of the cluster.
const fn cluster_key(purpose: Purpose, number: &[u8; 4]) -> [&[u8]; 3] {
    [b"cluster_key", purpose.as_str().as_bytes(), number]
}

/// Kind, owner and field of the address of an order.
const fn address_of(owner: &str) -> [&[u8]; 3] {
    [b"address", owner.as_bytes(), b"body"]
}

/// A field of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AccountField {
    Email,
    /// Name and phone number.
    Profile,
    /// The hash of the password.
    Password,
}

impl AccountField {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Email => b"email",
            Self::Profile => b"profile",
            Self::Password => b"password",
        }
    }
}

/// A user's own key. Dropping it makes everything sealed under it unreadable.
pub(crate) struct DataKey {
    owner: String,
    key: [u8; 32],
    /// As the user's row holds it.
    pub(crate) wrapped: Sealed,
}

impl DataKey {
    /// No user has had a second one yet.
    const VERSION: u32 = 1;

    /// Draws a key for a new user.
    pub(crate) fn draw(keys: &Keys, owner: UserId) -> Result<Self, Problem> {
        let (owner, key) = (owner.to_string(), random_key().map_err(|_| unsealed())?);
        let names = [b"data_key".as_slice(), owner.as_bytes(), b"key"];
        let wrapped = keys.signer().and_then(|version| {
            seal(BY_MASTER, &version.wrapping_key(), version.number, &names, &key)
        });
        Ok(Self { wrapped: wrapped.ok_or_else(unsealed)?, owner, key })
    }

    /// Opens the key in a user's row.
    pub(crate) fn open(keys: &Keys, owner: UserId, wrapped: &Sealed) -> Result<Self, Problem> {
        let owner = owner.to_string();
        let names = [b"data_key".as_slice(), owner.as_bytes(), b"key"];
        let version = version_of(wrapped).and_then(|number| keys.version(number));
        let key = version
            .and_then(|version| open(BY_MASTER, &version.wrapping_key(), &names, wrapped))
            .and_then(|key| key.try_into().ok());
        let key = key.ok_or_else(|| {
            tracing::error!(user = %owner, "cannot open the key of a user: is a version of the master key missing?");
            unsealed()
        })?;
        Ok(Self { wrapped: wrapped.clone(), owner, key })
    }

    /// Seals a field of the owner's account.
    pub(crate) fn seal(&self, field: AccountField, plain: &[u8]) -> Result<Sealed, Problem> {
        let names = [b"user".as_slice(), self.owner.as_bytes(), field.as_bytes()];
        seal(BY_USER, &self.key, Self::VERSION, &names, plain).ok_or_else(unsealed)
    }

    /// Opens a field of the owner's account.
    pub(crate) fn open_field(
        &self,
        field: AccountField,
        sealed: &Sealed,
    ) -> Result<Vec<u8>, Problem> {
        let names = [b"user".as_slice(), self.owner.as_bytes(), field.as_bytes()];
        open(BY_USER, &self.key, &names, sealed).ok_or_else(|| {
            tracing::error!(user = %self.owner, ?field, "cannot open a field of an account");
            unsealed()
        })
    }
}

/// Seals a mail for its effect.
pub(crate) fn seal_letter(keys: &Keys, effect: EffectId, plain: &[u8]) -> Result<Sealed, Problem> {
    let owner = effect.to_string();
    let names = [b"effect".as_slice(), owner.as_bytes(), b"letter"];
    let sealed = keys.signer().and_then(|version| {
        seal(BY_MASTER, &version.data_key(&owner), version.number, &names, plain)
    });
    let fits = sealed.filter(|sealed| sealed.0.len() <= SEALED_BYTES_MAX);
    fits.ok_or_else(unsealed)
}

/// Opens a mail. `None` if this node lacks the version that sealed it, or it is damaged.
pub(crate) fn open_letter(keys: &Keys, effect: EffectId, sealed: &Sealed) -> Option<Vec<u8>> {
    let owner = effect.to_string();
    let names = [b"effect".as_slice(), owner.as_bytes(), b"letter"];
    let version = keys.version(version_of(sealed)?)?;
    open(BY_MASTER, &version.data_key(&owner), &names, sealed)
}

/// Seals why staff did something to a target.
pub(crate) fn seal_reason(keys: &Keys, target: &str, reason: &str) -> Result<Sealed, Problem> {
    let names = [b"audit".as_slice(), target.as_bytes(), b"reason"];
    let sealed = keys.signer().and_then(|version| {
        let key = version.data_key(target);
        seal(BY_MASTER, &key, version.number, &names, reason.as_bytes())
    });
    sealed.ok_or_else(unsealed)
}

/// Opens why staff did something. `None` if this node lacks the version that sealed it.
pub(crate) fn open_reason(keys: &Keys, target: &str, sealed: &Sealed) -> Option<String> {
    let names = [b"audit".as_slice(), target.as_bytes(), b"reason"];
    let key = keys.version(version_of(sealed)?)?.data_key(target);
    String::from_utf8(open(BY_MASTER, &key, &names, sealed)?).ok()
}

fn unsealed() -> Problem {
    Problem::new(Code::Internal)
}

/// The version of the master key that a value is sealed with, if it is.
pub(crate) fn version_of(sealed: &Sealed) -> Option<u32> {
    sealed.master_version()
}

fn key_version(format: u8, sealed: &Sealed) -> Option<u32> {
    let (kind, rest) = sealed.0.split_first_chunk()?;
    let (version, _) = rest.split_first_chunk()?;
    (*kind == [format, AES_256_GCM]).then(|| u32::from_be_bytes(*version))
}

fn associated(names: &[&[u8]; 3], version: u32) -> Vec<u8> {
    let mut data = Vec::with_capacity(80);
    let version = version.to_be_bytes();
    for part in seeded::bound_to(names).into_iter().chain([version.as_slice()]) {
        data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

fn seal(
    format: u8,
    key: &[u8; 32],
    version: u32,
    names: &[&[u8]; 3],
    plain: &[u8],
) -> Option<Sealed> {
    let mut nonce = [0; NONCE_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut nonce).ok()?;
    let cipher = Aes256Gcm::new(&(*key).into());
    let aad = associated(names, version);
    let payload = Payload { msg: plain, aad: &aad };
    let ciphertext = cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + NONCE_BYTES + ciphertext.len());
    bytes.extend_from_slice(&[format, AES_256_GCM]);
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&ciphertext);
    Some(Sealed(bytes))
}

fn open(format: u8, key: &[u8; 32], names: &[&[u8]; 3], sealed: &Sealed) -> Option<Vec<u8>> {
    let version = key_version(format, sealed)?;
    let (_, rest) = sealed.0.split_at_checked(HEAD_BYTES)?;
    let (nonce, ciphertext) = rest.split_at_checked(NONCE_BYTES)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    let cipher = Aes256Gcm::new(&(*key).into());
    let aad = associated(names, version);
    cipher.decrypt(&Nonce::from(nonce), Payload { msg: ciphertext, aad: &aad }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    const ALICE: &Owner = &Owner { id: UserId::new(1), key: None };
    const BOB: &Owner = &Owner { id: UserId::new(2), key: None };

    fn keys() -> Keys {
        Keys::new(&MasterKey::parse("3:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap())
            .unwrap()
    }

    fn address() -> DeliveryAddress {
        DeliveryAddress {
            label: Some("home".to_owned()),
            recipient: "Kim".to_owned(),
            phone: "010-1234-5678".to_owned(),
            country: Some("KR".to_owned()),
            postcode: Some("04524".to_owned()),
            region: None,
            city: Some("Seoul".to_owned()),
            line1: "Sejong-daero 110".to_owned(),
            line2: None,
        }
    }

    #[test]
    fn ref55_sealing_differs_and_detects_change() {
        let keys = keys();
        let one = seal_address(&keys, ALICE, &address(), "").unwrap();
        let two = seal_address(&keys, ALICE, &address(), "").unwrap();
        assert_ne!(one, two);
        assert!(open_address(&keys, ALICE, &one, "x").unwrap() == address());
        for at in 0..one.0.len() {
            let mut changed = one.clone();
            changed.0[at] ^= 1;
            assert!(open_address(&keys, ALICE, &changed, "x").is_err(), "byte {at}");
        }
        for end in 0..one.0.len() {
            assert!(open_address(&keys, ALICE, &Sealed(one.0[..end].to_vec()), "x").is_err());
        }
    }

    #[test]
    fn sealed_value_of_another_owner_fails() {
        let keys = keys();
        let sealed = seal_address(&keys, ALICE, &address(), "").unwrap();
        assert!(open_address(&keys, BOB, &sealed, "x").is_err());
    }

    #[test]
    fn a_users_key_opens_for_nobody_else() {
        let keys = keys();
        let key = DataKey::draw(&keys, ALICE.id).unwrap();
        let sealed = key.seal(AccountField::Email, b"kim@example.com").unwrap();
        let opened = DataKey::open(&keys, ALICE.id, &key.wrapped).unwrap();
        let email = opened.open_field(AccountField::Email, &sealed).unwrap();
        assert_eq!(email, b"kim@example.com");
        assert!(opened.open_field(AccountField::Profile, &sealed).is_err());
        assert!(DataKey::open(&keys, BOB.id, &key.wrapped).is_err());
    }

    #[test]
    fn wrapped_key_opens_only_as_what_it_is() {
        let keys = keys();
        let version = keys.signer().unwrap();
        let wrapped = wrap(version, Purpose::RequestFingerprint, 1, &[9; 32]).unwrap();
        assert_eq!(unwrap(&keys, &wrapped), Some([9; 32]));
        for other in [
            ClusterKey { number: 2, ..wrapped.clone() },
            ClusterKey { master: 4, ..wrapped.clone() },
            ClusterKey { wrapped: seal_address(&keys, ALICE, &address(), "").unwrap(), ..wrapped },
        ] {
            assert_eq!(unwrap(&keys, &other), None);
        }
    }

    #[test]
    fn no_plain_personal_data_in_the_sealed_bytes() {
        let sealed = seal_address(&keys(), ALICE, &address(), "").unwrap();
        let text = String::from_utf8_lossy(&sealed.0).into_owned();
        for secret in ["Kim", "010-1234-5678", "Sejong", "04524", "home", "Seoul"] {
            assert!(!text.contains(secret), "{secret}");
        }
        assert_eq!(sealed.0[..6], [1, 1, 0, 0, 0, 3]);
    }

    /// What is wrong with an address, as pointer and code.
    fn wrong(address: DeliveryAddress) -> Vec<(String, String)> {
        let mut fields = Fields::default();
        let _clean = address.clean("/address", Country::default(), &mut fields);
        let Err(problem) = fields.finish() else { return Vec::new() };
        let document: serde_json::Value =
            serde_json::from_slice(&problem.to_json("/", "r", false)).unwrap();
        let errors = document["errors"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        errors.map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
    }

    #[test]
    fn every_field_has_its_limits() {
        type Place = fn(&mut DeliveryAddress) -> &mut Option<String>;
        let optional: [(&str, usize, Place); 5] = [
            ("label", 50, |address| &mut address.label),
            ("postcode", 20, |address| &mut address.postcode),
            ("region", 100, |address| &mut address.region),
            ("city", 100, |address| &mut address.city),
            ("line2", 200, |address| &mut address.line2),
        ];
        let with = |place: Place, text: Option<String>| {
            let mut address = address();
            *place(&mut address) = text;
            address
        };
        let letters = |count| "\u{d55c}".repeat(count);
        let at = |name: &str, code: &str| vec![(format!("/address/{name}"), code.to_owned())];
        for (name, most, place) in optional {
            for right in [None, Some("a".to_owned()), Some(letters(most))] {
                assert_eq!(wrong(with(place, right)), [], "{name}");
            }
            for (text, code) in [
                (String::new(), "required"),
                (" \t".to_owned(), "required"),
                (letters(most + 1), "too_long"),
                ("a\nb".to_owned(), "invalid"),
                ("a\u{0}".to_owned(), "invalid"),
            ] {
                assert_eq!(wrong(with(place, Some(text))), at(name, code));
            }
        }
        for (recipient, line1) in [(50, 200), (1, 1)] {
            let (recipient, line1) = (letters(recipient), letters(line1));
            assert_eq!(wrong(DeliveryAddress { recipient, line1, ..address() }), []);
        }
        let both = DeliveryAddress { recipient: letters(51), line1: letters(201), ..address() };
        assert_eq!(
            wrong(both),
            [at("recipient", "too_long"), at("line1", "too_long")].concat(),
            "all wrong fields at once"
        );
        for phone in ["12345678", "+82-10-1234-5678-000", "01012345678"] {
            assert_eq!(wrong(DeliveryAddress { phone: phone.to_owned(), ..address() }), []);
        }
        let digits = "1".repeat(21);
        for phone in ["", "1234567", "12 345 678", &digits, "010\u{ff11}2345678", "phone-number"] {
            let bad = DeliveryAddress { phone: phone.to_owned(), ..address() };
            assert_eq!(wrong(bad), at("phone", "invalid"), "{phone}");
        }
        for country in ["", "kr", "KOR", "UK", "ZZ", "K\u{555}"] {
            let bad = DeliveryAddress { country: Some(country.to_owned()), ..address() };
            assert_eq!(wrong(bad), at("country", "invalid"), "{country}");
        }
    }

    #[test]
    fn an_address_is_in_the_country_of_the_deployment_unless_it_says_otherwise() {
        let japan: Country = "JP".parse().unwrap();
        for (sent, kept) in [(None, "JP"), (Some("FR"), "FR")] {
            let address = DeliveryAddress { country: sent.map(str::to_owned), ..address() };
            let clean = address.clean("", japan, &mut Fields::default());
            assert_eq!(clean.country.as_deref(), Some(kept));
        }
    }

    #[test]
    fn text_is_trimmed_and_composed() {
        let sent = DeliveryAddress {
            recipient: "  Rene\u{301}e ".to_owned(),
            line2: Some("\u{3000}B1 ".to_owned()),
            ..address()
        };
        let clean = sent.clean("", Country::default(), &mut Fields::default());
        assert_eq!((clean.recipient.as_str(), clean.line2.as_deref()), ("Ren\u{e9}e", Some("B1")));
    }

    /// The longest body that can be sealed, and one byte more.
    #[test]
    fn the_whole_body_fits_a_sealed_value() {
        let with = |letters: usize| DeliveryAddress {
            line1: "x".repeat(letters % 200 + 1),
            line2: Some("\u{1f3e0}".repeat(letters / 200)),
            ..address()
        };
        let size = |body: &DeliveryAddress| {
            serde_json::to_vec(body).unwrap().len() + HEAD_BYTES + NONCE_BYTES + 16
        };
        let (mut fits, mut too_long) = (0, 0);
        for letters in (0..200 * 600).step_by(7) {
            let body = with(letters);
            let sealed = seal_address(&keys(), ALICE, &body, "/address");
            if size(&body) <= SEALED_BYTES_MAX {
                assert!(open_address(&keys(), ALICE, &sealed.unwrap(), "x").unwrap() == body);
                fits += 1;
            } else {
                assert!(sealed.is_err());
                too_long += 1;
            }
        }
        assert!(fits > 0 && too_long > 0);
    }
}
