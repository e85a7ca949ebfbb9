//! Accounts of users, opened and sealed on the node that takes a request.

use firstcome_domain::UserId;
use firstcome_domain::user::{Account, User};
use firstcome_domain::value::{EmailIndex, Language, Sealed};
use hmac::Mac as _;
use serde::{Deserialize, Serialize};

use crate::email::EmailAddress;
use crate::keys::{Keys, OwnKeys, feed};
use crate::problem::{Code, Problem};
use crate::seal::{AccountField, DataKey};

/// What others may know of a person: sealed as one value.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) phone: String,
}

/// The keyed hash that an account is found by.
pub(crate) fn email_index(own: &OwnKeys, email: &EmailAddress) -> EmailIndex {
    let mut mac = own.email.clone();
    for part in [b"email".as_slice(), email.as_str().as_bytes()] {
        feed(&mut mac, part);
    }
    EmailIndex(mac.finalize().into_bytes().into())
}

/// Seals a new account.
pub(crate) fn seal(
    keys: &Keys,
    id: UserId,
    email: (&EmailAddress, EmailIndex),
    profile: &Profile,
    password_hash: &str,
    language: Language,
) -> Result<Account, Problem> {
    let key = DataKey::draw(keys, id)?;
    Ok(Account {
        email_index: email.1,
        email: key.seal(AccountField::Email, email.0.as_str().as_bytes())?,
        profile: seal_profile(&key, profile)?,
        password: key.seal(AccountField::Password, password_hash.as_bytes())?,
        password_version: 1,
        language,
        data_key: key.wrapped,
    })
}

/// Seals name and phone number.
pub(crate) fn seal_profile(key: &DataKey, profile: &Profile) -> Result<Sealed, Problem> {
    let plain = serde_json::to_vec(profile).map_err(|_| Problem::new(Code::Internal))?;
    key.seal(AccountField::Profile, &plain)
}

/// An account with its key.
pub(crate) struct Opened<'u> {
    pub(crate) account: &'u Account,
    pub(crate) key: DataKey,
}

impl<'u> Opened<'u> {
    /// Opens the key of a user's account; `None` if they have none.
    pub(crate) fn of(keys: &Keys, user: &'u User) -> Result<Option<Self>, Problem> {
        let Some(account) = &user.account else { return Ok(None) };
        let key = DataKey::open(keys, user.id, &account.data_key)?;
        Ok(Some(Self { account, key }))
    }

    /// The e-mail address.
    pub(crate) fn email(&self) -> Result<EmailAddress, Problem> {
        self.text(AccountField::Email, &self.account.email).map(EmailAddress::stored)
    }

    /// Name and phone number.
    pub(crate) fn profile(&self) -> Result<Profile, Problem> {
        let plain = self.key.open_field(AccountField::Profile, &self.account.profile)?;
        serde_json::from_slice(&plain).map_err(|_| Problem::new(Code::Internal))
    }

    /// The hash of the password.
    pub(crate) fn password(&self) -> Result<String, Problem> {
        self.text(AccountField::Password, &self.account.password)
    }

    fn text(&self, field: AccountField, sealed: &Sealed) -> Result<String, Problem> {
        let plain = self.key.open_field(field, sealed)?;
        String::from_utf8(plain).map_err(|_| Problem::new(Code::Internal))
    }
}
