//! Commands: what is proposed. One log entry carries one command.
//!
//! A command is one line in `commands!`: its tag, which is format and never used again, and the
//! type that holds its fields. Who may send it, what it touches and what it does is that type's
//! [`Rule`]. Ids, sealed values and hashes are made by the node that took the request, before
//! proposing.

use crate::draft::Draft;
use crate::journal::receipt::ReceiptKey;
use crate::kernel::value::Sealed;
use crate::kernel::version::{Decoder, Encoder, Level, Versioned};
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::rule::{Rule, Touch};
use crate::view::View;

pub use crate::address::command::{AddressAdd, AddressRemove, AddressUpdate};
pub use crate::audit::command::{OrderReveal, UserReveal};
pub use crate::cluster::command::FeatureLevelRaise;
pub use crate::effect::command::{Attempt, EffectReport};
pub use crate::email_code::command::{EmailCodeConfirm, EmailCodeRequest};
pub use crate::kernel::actor::{Actor, Role};
pub use crate::keyring::command::{
    KeyringCreate, MasterCheck, MasterVersionActivate, MasterVersionAdd, MasterVersionRetire,
};
#[cfg(feature = "next")]
pub use crate::next::command::OrderAnnotate;
pub use crate::order::command::{
    OrderCancel, OrderConfirm, OrderCreate, OrderDeliver, OrderReturn, OrderShip, ReturnReceive,
    ShipTo, WantedLine,
};
pub use crate::payment::command::{PaymentSettle, Settlement};
pub use crate::product::command::{ProductCreate, ProductSetStatus, ProductUpdate};
pub use crate::sale::command::{
    Allotment, SaleAllot, SaleClose, SaleCreate, SalePause, SaleResume, SaleUpdate,
};
pub use crate::session::command::{
    LoginFail, SessionClose, SessionIssue, SessionOpen, SessionRotate,
};
pub use crate::settings::command::SettingsUpdate;
pub use crate::stock::command::{Adjustment, StockAdjust};
pub use crate::sweep::Tick;
pub use crate::user::command::{
    AdminBootstrap, PasswordChange, PasswordReset, UserErase, UserManage, UserSignUp, UserUpdate,
};
pub use crate::wishlist::command::{WishlistClear, WishlistOrder, WishlistRemove, WishlistSet};

/// One proposal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// Who asks.
    pub actor: Actor,
    /// Present when the client sent an idempotency key.
    pub receipt: Option<ReceiptKey>,
    /// What is asked.
    pub action: Action,
}

/// Lists the commands: tag, type.
macro_rules! commands {
    ($($tag:literal $name:ident,)*) => {
        /// What is asked.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "each variant holds the command of its name")]
        pub enum Action {
            $($name($name),)*
        }

        impl Action {
            /// Every command's tag and name.
            pub const ALL: &'static [(u16, &'static str)] = &[$(($tag, stringify!($name)),)*];

            /// The command's name as in docs and receipts.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            /// The stable number of the command.
            pub const fn tag(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $tag,)*
                }
            }

            /// The version in which a cluster at `level` writes the command.
            pub fn version_at(&self, level: Level) -> u8 {
                match self {
                    $(Self::$name(_) => <$name as Versioned>::version_at(level),)*
                }
            }

            /// The feature level from which on the command exists.
            pub const fn since(&self) -> Level {
                match self {
                    $(Self::$name(_) => <$name as Rule>::SINCE,)*
                }
            }

            /// What the actor's role must allow.
            pub fn needs(&self) -> Needs {
                match self {
                    $(Self::$name(command) => command.needs(),)*
                }
            }

            /// Encodes the fields.
            pub fn encode<E: Encoder>(&self, version: u8, encoder: E) -> E::Output {
                match self {
                    $(Self::$name(command) => command.encode(version, encoder),)*
                }
            }

            /// Decodes the fields of the command with this tag; `None` for a tag or a version of a
            /// later release.
            pub fn decode<D: Decoder>(
                tag: u16,
                version: u8,
                decoder: D,
            ) -> Option<Result<Self, D::Error>> {
                match tag {
                    $($tag => <$name as Versioned>::decode(version, decoder)
                        .map(|command| command.map(Self::$name)),)*
                    _ => None,
                }
            }

            /// Whether this release reads a command with this tag and version.
            pub fn knows(tag: u16, version: u8) -> bool {
                match tag {
                    $($tag => (1..=<$name as Versioned>::VERSION).contains(&version),)*
                    _ => false,
                }
            }

            pub(crate) fn reason(&self) -> Option<&Sealed> {
                match self {
                    $(Self::$name(command) => command.reason(),)*
                }
            }

            pub(crate) fn touches(&self) -> Vec<Touch> {
                match self {
                    $(Self::$name(command) => command.touches(),)*
                }
            }

            pub(crate) fn sealed(&self) -> Option<&Sealed> {
                match self {
                    $(Self::$name(command) => command.sealed(),)*
                }
            }

            pub(crate) fn decide<V: View>(
                &self,
                draft: &mut Draft<'_, V>,
                actor: Actor,
            ) -> Result<Done, Refusal> {
                match self {
                    $(Self::$name(command) => command.decide(draft, actor),)*
                }
            }
        }
    };
}

/// The list. `more` are the commands of the stand-in for a later release, in builds with it.
macro_rules! list_commands {
    ($($more:tt)*) => { commands! {
    1 ProductCreate,
    2 ProductUpdate,
    3 ProductSetStatus,
    4 StockAdjust,
    5 SaleCreate,
    6 SaleUpdate,
    7 SaleAllot,
    8 SalePause,
    9 SaleResume,
    10 SaleClose,
    11 OrderCreate,
    12 OrderCancel,
    13 OrderShip,
    14 OrderDeliver,
    15 OrderConfirm,
    16 OrderReturn,
    17 ReturnReceive,
    18 PaymentSettle,
    19 SettingsUpdate,
    20 Tick,
    21 FeatureLevelRaise,
    30 WishlistSet,
    31 WishlistRemove,
    32 WishlistClear,
    33 WishlistOrder,
    34 AddressAdd,
    35 AddressUpdate,
    36 AddressRemove,
    40 KeyringCreate,
    41 MasterVersionAdd,
    42 MasterVersionActivate,
    43 MasterVersionRetire,
    50 EmailCodeRequest,
    51 EmailCodeConfirm,
    52 UserSignUp,
    53 AdminBootstrap,
    54 UserUpdate,
    55 PasswordChange,
    56 PasswordReset,
    57 UserManage,
    58 UserErase,
    60 SessionOpen,
    61 LoginFail,
    62 SessionRotate,
    63 SessionClose,
    64 SessionIssue,
    70 EffectReport,
    80 OrderReveal,
    81 UserReveal,
    $($more)*
    } };
}

#[cfg(not(feature = "next"))]
list_commands! {}
#[cfg(feature = "next")]
list_commands! { 900 OrderAnnotate, }
