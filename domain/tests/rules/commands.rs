//! The list of commands: their tags, their versions, and that each survives being encoded.

use std::collections::BTreeSet;

use firstcome_domain::command::*;
use firstcome_domain::email_code::CodePurpose;
use firstcome_domain::kernel::version::{Decoder, Encoder, Level};
use firstcome_domain::settings::Settings;
use firstcome_domain::value::Sealed;
use firstcome_domain::{AddressId, EffectId, SessionId, UserId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::shop::*;

/// Stands in for storage's codec.
struct Json;

impl Encoder for Json {
    type Output = Vec<u8>;

    fn value<T: Serialize>(self, value: &T) -> Vec<u8> {
        serde_json::to_vec(value).unwrap()
    }
}

struct FromJson<'a>(&'a [u8]);

impl Decoder for FromJson<'_> {
    type Error = serde_json::Error;

    fn value<T: DeserializeOwned>(self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.0)
    }
}

/// Must never be asked for a value.
struct Untouched;

impl Decoder for Untouched {
    type Error = ();

    fn value<T: DeserializeOwned>(self) -> Result<T, ()> {
        panic!("a value was decoded")
    }
}

/// One of each command, with every field that may be absent present.
fn one_of_each() -> Vec<Action> {
    let id = oid(1);
    let note = Some("by hand".to_owned());
    vec![
        Action::ProductCreate(ProductCreate {
            description: Some("Red.".into()),
            image_url: Some("https://example.com/thing.png".into()),
            ..product_of(PRODUCT, 7)
        }),
        Action::ProductUpdate(ProductUpdate {
            id: PRODUCT,
            if_version: 1,
            name: Some("New".into()),
            description: Some(Some("Blue.".into())),
            image_url: None,
            no_shipping: Some(true),
            price: Some(won(5)),
            waitlist: Some(true),
        }),
        Action::ProductSetStatus(ProductSetStatus {
            id: PRODUCT,
            if_version: 2,
            discontinued: true,
        }),
        Action::StockAdjust(StockAdjust {
            pool: S,
            adjustment: Adjustment::Unscrap,
            quantity: 3,
            note: note.clone(),
        }),
        Action::SaleCreate(SaleCreate {
            price: Some(won(9)),
            closes_at: Some(firstcome_domain::Millis::new(DAY)),
            pay_within_ms: Some(MINUTE),
            ..sale_of(SALE, 4)
        }),
        Action::SaleUpdate(SaleUpdate {
            title: Some("Drop 2".into()),
            pay_within_ms: Some(Some(MINUTE)),
            ..no_update(SALE, 3)
        }),
        Action::SaleAllot(SaleAllot { id: SALE, allotment: Allotment::Down, quantity: 2, note }),
        pause(SALE),
        resume(SALE),
        close(SALE),
        order_of(1, &[(S, 1), (P, 2)]),
        Action::OrderCancel(OrderCancel { id }),
        Action::OrderShip(OrderShip { id, tracking_no: Some("T-1".into()) }),
        Action::OrderDeliver(OrderDeliver { id }),
        Action::OrderConfirm(OrderConfirm { id }),
        Action::OrderReturn(OrderReturn { id }),
        Action::ReturnReceive(ReturnReceive { id, restock: true }),
        captured(1, "cap", PRICE),
        Action::SettingsUpdate(SettingsUpdate { if_version: 0, settings: Settings::default() }),
        Action::Tick(Tick),
        Action::FeatureLevelRaise(FeatureLevelRaise { to: 2, release: "0.2.0".into() }),
        wish(S, 2),
        Action::WishlistRemove(WishlistRemove { target: P }),
        Action::WishlistClear(WishlistClear),
        order_wishes(1),
        save(1, 3),
        change(1, 1, 4, true),
        Action::AddressRemove(AddressRemove { id: AddressId::new(1), if_version: Some(2) }),
        first_keyring(1, &[1, 2]),
        Action::MasterVersionAdd(MasterVersionAdd { node: 2, versions: vec![version(1)] }),
        Action::MasterVersionActivate(MasterVersionActivate {
            number: 2,
            members: vec![1, 2],
            keys: wrapped_by(2),
        }),
        Action::MasterVersionRetire(MasterVersionRetire { number: 1 }),
        send_code(CodePurpose::PasswordReset, 1, 2),
        confirm_code(1, 2, 3),
        Action::UserSignUp(UserSignUp {
            id: UserId::new(1),
            account: account(1),
            proof: [3; 32],
            address: Some(AddressAdd { id: AddressId::new(1), body: Sealed(vec![7; 3]) }),
        }),
        Action::AdminBootstrap(AdminBootstrap { id: UserId::new(1), account: account(1) }),
        Action::UserUpdate(UserUpdate { if_version: 1, profile: Sealed(vec![7; 3]) }),
        Action::PasswordChange(PasswordChange {
            password_version: 1,
            password: Sealed(vec![7; 3]),
            session: Some(SessionId::new(1)),
        }),
        Action::PasswordReset(PasswordReset {
            user: UserId::new(1),
            secret: [4; 32],
            password: Sealed(vec![7; 3]),
        }),
        Action::UserManage(UserManage {
            id: UserId::new(1),
            if_version: 2,
            role: Some(Role::Support),
            blocked: Some(true),
        }),
        open_session(1, 1, 2),
        Action::LoginFail(LoginFail { user: UserId::new(1) }),
        Action::SessionRotate(SessionRotate { id: SessionId::new(1), generation: 7 }),
        Action::SessionClose(SessionClose { id: SessionId::new(1), user: UserId::new(1) }),
        Action::SessionIssue(SessionIssue {
            id: SessionId::new(1),
            user: UserId::new(1),
            life_ms: 1_000,
        }),
        Action::EffectReport(EffectReport {
            id: EffectId::new(1),
            attempts: 2,
            attempt: Attempt::Retry { wait_ms: 5, code: "smtp_timeout".into() },
        }),
        Action::OrderReveal(OrderReveal { id, reason: Sealed(vec![7; 3]) }),
        Action::UserReveal(UserReveal { id: UserId::new(1), reason: Sealed(vec![7; 3]) }),
    ]
}

#[test]
fn tags_and_names_of_commands_are_unique() {
    let tags: BTreeSet<_> = Action::ALL.iter().map(|(tag, _)| tag).collect();
    let names: BTreeSet<_> = Action::ALL.iter().map(|(_, name)| name).collect();
    assert_eq!((tags.len(), names.len()), (Action::ALL.len(), Action::ALL.len()));
}

#[test]
fn every_command_survives_being_encoded() {
    let actions = one_of_each();
    let known: Vec<_> = actions.iter().map(|action| (action.tag(), action.name())).collect();
    assert_eq!(known, Action::ALL, "one of each, in the order of the list");
    for action in actions {
        let version = action.version_at(Level::FIRST);
        let bytes = action.encode(version, Json);
        let decoded = Action::decode(action.tag(), version, FromJson(&bytes));
        assert_eq!(decoded.unwrap().unwrap(), action);
    }
}

#[test]
fn commands_of_a_later_release_are_not_decoded() {
    for (tag, name) in Action::ALL {
        assert_eq!(Action::decode(*tag, 2, Untouched), None, "version 2 of {name}");
        assert_eq!(Action::decode(*tag, 0, Untouched), None, "version 0 of {name}");
    }
    let known: BTreeSet<_> = Action::ALL.iter().map(|(tag, _)| *tag).collect();
    for tag in (0..=u16::MAX).filter(|tag| !known.contains(tag)) {
        assert_eq!(Action::decode(tag, 1, Untouched), None, "tag {tag}");
    }
}
