//! Writes the corpus: valid encodings of every kind, and some that are wrong in a telling way.
//!
//! Run it when a format changes: `cargo run -p firstcome-fuzz --features sim --example seeds`. It replaces
//! its own files and leaves what a fuzzer has found.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use firstcome_domain::command::{
    Action, Actor, AddressAdd, AddressRemove, AddressUpdate, Adjustment, AdminBootstrap, Allotment,
    Attempt, Command, EffectReport, EmailCodeConfirm, EmailCodeRequest, FeatureLevelRaise,
    KeyringCreate, LoginFail, MasterCheck, MasterVersionActivate, MasterVersionAdd,
    MasterVersionRetire, OrderConfirm, OrderDeliver, OrderReturn, OrderReveal, OrderShip,
    PasswordChange, PasswordReset, ProductSetStatus, ProductUpdate, ReturnReceive, Role,
    SaleUpdate, SessionClose, SessionIssue, SessionOpen, SessionRotate, SettingsUpdate, Settlement,
    ShipTo, Tick, UserErase, UserManage, UserReveal, UserSignUp, UserUpdate, WishlistClear,
    WishlistOrder, WishlistRemove, WishlistSet,
};
use firstcome_domain::email_code::CodePurpose;
use firstcome_domain::journal::Journal;
use firstcome_domain::kernel::row::{Index as _, Row as _};
use firstcome_domain::kernel::version::Level;
use firstcome_domain::keyring::{ClusterKey, Purpose};
use firstcome_domain::order::row::OrdersByTicket;
use firstcome_domain::settings::Settings;
use firstcome_domain::user::Account;
use firstcome_domain::value::{EmailIndex, Language, Sealed};
use firstcome_domain::{
    AddressId, EffectId, Millis, OrderId, Revision, SaleId, SessionId, Stamp, UserId,
};
use firstcome_fuzz::{Records, checked_chunks, shop};
use firstcome_storage::codec;
use firstcome_storage::log::Entry;
use firstcome_storage::state::Committed;
use serde::Serialize;

fn main() -> std::io::Result<()> {
    peer_frames()?;
    commands()?;
    log_entries()?;
    snapshots()?;
    requests()?;
    settings()?;
    operations()?;
    histories()?;
    keys()?;
    issuer_tokens()?;
    key_sets()?;
    refresh_tokens()
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// A part of an encoding: without the format byte. A struct is a tuple, an enum its number and
/// its fields.
fn part<T: Serialize>(value: &T) -> Vec<u8> {
    codec::encode(value).split_off(1)
}

fn whole(parts: &[Vec<u8>]) -> Vec<u8> {
    [vec![1], parts.concat()].concat()
}

fn addresses(ids: &[u64]) -> Vec<u8> {
    let address = |n: &u64| (format!("n{n}"), format!("h{n}:8081"), format!("h{n}:9091"));
    part(&ids.iter().map(|n| (*n, address(n))).collect::<Vec<_>>())
}

/// An order, as proposals carry it.
fn order() -> Bytes {
    encoded(&keyed_order())
}

fn keyed_order() -> Command {
    let order = shop::order(77, &[(shop::POOLS[1], 1)]);
    Command { receipt: Some(shop::key(1, 1)), ..shop::by(shop::customer(1), order) }
}

fn encoded(command: &Command) -> Bytes {
    codec::encode_command(command, Level::KNOWN)
}

/// Log entries by name: a blank one, a command, memberships.
fn entries() -> Vec<(&'static str, Vec<u8>)> {
    let entry = |kind: u8, rest: &[u8]| {
        let id = [3_u64, 1, 70_000].map(u64::to_le_bytes).concat();
        [&[1, kind][..], &id, rest].concat()
    };
    let membership =
        |configs: &[Vec<u64>], nodes: &[u64]| entry(2, &whole(&[part(&configs), addresses(nodes)]));
    let at = 1_700_000_000_000_i64.to_le_bytes();
    vec![
        ("blank", entry(0, &[])),
        ("order", entry(1, &[&at[..], &order()].concat())),
        ("order_without_a_time", entry(1, &at[..7])),
        ("members", membership(&[vec![1, 2, 3]], &[1, 2, 3, 4])),
        ("joint", membership(&[vec![1, 2, 3], vec![1, 2, 4]], &[1, 2, 3, 4])),
        ("membership_without_voters_ended_the_node", membership(&[vec![]], &[1])),
        ("voter_without_address_ended_the_node", membership(&[vec![1, 9]], &[1])),
        ("unknown_payload", entry(9, &[])),
    ]
}

fn peer_frames() -> std::io::Result<()> {
    let uuid = "0192f0c1-2345-7abc-8def-0123456789ab";
    let vote = part(&(3_u64, 1_u64, true));
    let id = part(&Some((3_u64, 1_u64, 70_000_u64)));
    let none = part(&None::<(u64, u64, u64)>);
    let mut frames = vec![
        (0, "hello", greeting(1, part(&(uuid, 0_u32, 1_u64, 2_u64, 2_u32)))),
        (0, "hello_of_another_protocol", greeting(9, vec![255, 254])),
        (0, "hello_on_no_channel", greeting(1, part(&(uuid, 0_u32, 1_u64, 2_u64, 9_u32)))),
        (1, "welcome", greeting(1, part(&0_u32))),
        (1, "turned_away", greeting(1, part(&(1_u32, "this is node 3")))),
        (1, "removed", greeting(1, part(&2_u32))),
        (2, "probe", part(&0_u32)),
        (2, "adopt", part(&(1_u32, uuid, 0_u32, 3_u64, "n3"))),
        (3, "vacant", part(&(0_u32, "n3", true))),
        (3, "taken", part(&(1_u32, "n3", uuid, 3_u64, false))),
        (3, "adopted", part(&2_u32)),
        (4, "heartbeat", append(&[&vote, &id, &id], &[])),
        (5, "matches", [part(&0_u32), id.clone()].concat()),
        (5, "conflict", part(&(1_u32, (2_u64, 1_u64, 9_u64)))),
        (5, "higher_vote", part(&(2_u32, (9_u64, 2_u64, false)))),
        (5, "stopped", part(&3_u32)),
        (6, "questions", questions(&vote, &id)),
        (7, "answers", answers(&vote, &id)),
        (9, "vote", vote.clone()),
        (9, "vote_with_more_behind", [vote.clone(), vec![0]].concat()),
    ];
    for (name, entry) in entries() {
        frames.push((4, name, append(&[&vote, &id, &none], &[&entry, &entry])));
        frames.push((10, name, entry));
    }
    let members =
        [part(&1_u8), part(&[vec![1_u64, 2, 3]].to_vec()), addresses(&[1, 2, 3])].concat();
    let meta = [id.clone(), id.clone(), members, part(&4_u64)].concat();
    frames.push((8, "snapshot_head", [vote, meta.clone()].concat()));
    frames.push((11, "meta", meta));
    frames.push((11, "meta_of_nothing", [none.clone(), none, part(&0_u8), part(&0_u64)].concat()));
    let mut stream = Vec::new();
    for (kind, name, body) in frames {
        // These have a layout of their own; the others are one encoded value.
        let body = if matches!(kind, 0 | 1 | 4 | 6 | 7 | 10) { body } else { whole(&[body]) };
        let bytes = firstcome_raft::fuzz::frame(&body)?;
        stream.extend_from_slice(&bytes);
        let label = firstcome_raft::fuzz::KINDS[usize::from(kind)];
        write("peer_frame", &format!("{label}_{name}"), [vec![kind], body].concat())?;
    }
    write("peer_frame", "stream", [vec![99], stream.clone()].concat())?;
    write(
        "peer_frame",
        "stream_cut_short",
        [vec![99], stream[..stream.len() - 3].to_vec()].concat(),
    )?;
    let mut flipped = stream;
    flipped[20] ^= 1;
    write("peer_frame", "stream_with_a_flipped_bit", [vec![99], flipped].concat())?;
    write("peer_frame", "stream_of_a_forged_length", [99, 0, 0, 0, 1, 0, 0, 0, 0])?;
    write("peer_frame", "stream_of_too_long_a_frame", [99, 1, 0, 0, 1, 0, 0, 0, 0])?;
    write("peer_frame", "requests_of_a_forged_length", [&[6; 10][..], &[255; 4]].concat())
}

/// A release that speaks one protocol, and what it says.
fn greeting(protocol: u16, value: Vec<u8>) -> Vec<u8> {
    let protocol = protocol.to_le_bytes();
    [&protocol[..], &protocol, &[5], b"0.1.0", &whole(&[value])].concat()
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a small part");
    [&length.to_le_bytes()[..], bytes].concat()
}

fn append(head: &[&[u8]], entries: &[&[u8]]) -> Vec<u8> {
    let head = whole(&[head.concat()]);
    let entries = entries.iter().flat_map(|entry| with_length(entry));
    with_length(&head).into_iter().chain(entries).collect()
}

/// Questions or answers in one frame: encoded values, then bytes as they are.
fn items(values: Vec<Vec<u8>>, bytes: &[u8]) -> Vec<u8> {
    let values = values.into_iter().map(|value| (0_u8, whole(&[value])));
    let all = values.chain([(1_u8, bytes.to_vec())]);
    let item = |((kind, body), n): ((u8, Vec<u8>), u64)| {
        [&n.to_le_bytes()[..], &[kind], &with_length(&body)].concat()
    };
    all.zip(1..).flat_map(item).collect()
}

fn questions(vote: &[u8], id: &[u8]) -> Vec<u8> {
    let all = vec![
        [part(&0_u32), vote.to_vec(), id.to_vec(), part(&(false, true))].concat(),
        [part(&1_u32), vote.to_vec(), part(&2_u64), id.to_vec()].concat(),
        part(&2_u32),
        part(&3_u32),
        part(&4_u32),
        part(&(5_u32, 70_000_u64)),
        part(&(6_u32, 0_u32, ("n4", "h4:8081", "h4:9091"))),
        part(&(6_u32, 3_u32, Some(2_u64))),
    ];
    items(all, &order())
}

fn answers(vote: &[u8], id: &[u8]) -> Vec<u8> {
    let mut memory = shop::memory();
    let step = memory.step(&keyed_order(), Millis::new(0));
    let all = vec![
        [part(&0_u32), vote.to_vec(), part(&true), id.to_vec()].concat(),
        part(&(1_u32, Some("its vote is higher"))),
        part(&(2_u32, 70_000_u64)),
        part(&(3_u32, 1_700_000_000_000_i64)),
        part(&(4_u32, 9_u64, 10_u64, true)),
        part(&(5_u32, Some(u128::MAX))),
        part(&(6_u32, 4_u64)),
        part(&(7_u32, 3_u32, "member 9 is not a voter")),
        part(&(7_u32, 5_u32)),
    ];
    let Stamp { revision, now } = step.decided;
    let stamp = [revision.get().to_le_bytes(), now.get().to_le_bytes()].concat();
    items(all, &[&[0][..], &stamp, &codec::encode_at(&step.outcome, Level::KNOWN)].concat())
}

/// At least one command of every kind.
fn actions() -> Vec<(&'static str, Actor, Action)> {
    let (node, staff) = (Actor::Node, shop::STAFF);
    let captured = Settlement::Captured { provider_ref: "p-1".into(), amount: 15_000 };
    let declined = Settlement::Declined { code: "no_funds".into() };
    let paid = Settlement::PaidOutside { reference: Some("bank".into()) };
    let id = |n: u128| OrderId::new(n);
    let update = ProductUpdate {
        id: shop::PRODUCT,
        if_version: 1,
        name: Some("mug".into()),
        description: Some(None),
        image_url: None,
        no_shipping: None,
        price: Some(shop::won(1)),
        waitlist: Some(true),
    };
    let longer = SaleUpdate {
        id: SaleId::new(2),
        if_version: 1,
        title: None,
        price: Some(shop::won(9_000)),
        opens_at: Some(Millis::new(2_000)),
        closes_at: Some(None),
        per_customer_limit: Some(100),
        pay_within_ms: Some(Some(90_000)),
        disclosure: None,
        waitlist: None,
    };
    let end = ProductSetStatus { id: shop::PRODUCT, if_version: 1, discontinued: true };
    let settings = SettingsUpdate { if_version: 0, settings: Settings::default() };
    let endless = Settings { receipt_retention_ms: i64::MAX, ..Settings::default() };
    let endless = SettingsUpdate { if_version: 0, settings: endless };
    let level = FeatureLevelRaise { to: 2, release: "0.2.0".into() };
    let ship = OrderShip { id: id(1), tracking_no: Some("T-1".into()) };
    let wish = WishlistSet { target: shop::POOLS[1], quantity: 2 };
    let unwish = WishlistRemove { target: shop::POOLS[0] };
    let home = AddressId::new(1);
    let address = Some(ShipTo::Saved(home));
    let order_wishes = WishlistOrder { id: id(9), address, expected_total: None };
    let (old, new) = (Sealed(vec![1; 150]), Sealed(vec![2; 200]));
    let save = AddressAdd { id: home, body: old };
    let move_house = AddressUpdate { id: home, if_version: 1, body: new, make_default: true };
    let forget = AddressRemove { id: home, if_version: Some(2) };
    let report = MasterVersionAdd { node: 2, versions: vec![master(1), master(2)] };
    let activate = MasterVersionActivate { number: 1, members: vec![1], keys: cluster_keys() };
    let mut all = vec![
        ("product", staff, shop::product(5)),
        ("product_update", staff, Action::ProductUpdate(update)),
        ("product_discontinued", staff, Action::ProductSetStatus(end)),
        ("sale_update", staff, Action::SaleUpdate(longer)),
        ("settings", staff, Action::SettingsUpdate(settings)),
        ("settings_of_centuries", staff, Action::SettingsUpdate(endless)),
        ("level", staff, Action::FeatureLevelRaise(level)),
        ("ship", staff, Action::OrderShip(ship)),
        ("deliver", staff, Action::OrderDeliver(OrderDeliver { id: id(1) })),
        ("confirm", shop::customer(1), Action::OrderConfirm(OrderConfirm { id: id(1) })),
        ("return", shop::customer(1), Action::OrderReturn(OrderReturn { id: id(1) })),
        ("receive", staff, Action::ReturnReceive(ReturnReceive { id: id(1), restock: true })),
        ("sale", staff, shop::sale(9, 2, 5, Some(99))),
        ("order", shop::customer(4), shop::order(9, &[(shop::POOLS[1], 2), (shop::POOLS[0], 1)])),
        ("order_of_nothing", shop::customer(4), shop::order(9, &[])),
        ("order_of_too_many", shop::customer(4), shop::order(9, &[(shop::POOLS[0], u32::MAX)])),
        ("cancel", shop::customer(2), shop::cancel(2)),
        ("captured", node, shop::settle(2, captured)),
        ("declined", node, shop::settle(3, declined)),
        ("paid_outside", staff, shop::settle(3, paid)),
        ("stock_in", staff, shop::adjust(shop::POOLS[0], Adjustment::In, 1_000_000_000)),
        ("stock_of_everything", staff, shop::adjust(shop::POOLS[0], Adjustment::In, u64::MAX)),
        ("scrap", staff, shop::adjust(shop::POOLS[1], Adjustment::Scrap, 1)),
        ("allot", staff, shop::allot(1, Allotment::UpFromNew, 3)),
        ("pause", staff, shop::pause(1)),
        ("close", staff, shop::close(1)),
        ("close_by_a_customer", shop::customer(1), shop::close(1)),
        ("resume", staff, shop::resume(1)),
        ("wish", shop::customer(1), Action::WishlistSet(wish)),
        ("unwish", shop::customer(1), Action::WishlistRemove(unwish)),
        ("clear_wishes", shop::customer(1), Action::WishlistClear(WishlistClear)),
        ("order_wishes", shop::customer(1), Action::WishlistOrder(order_wishes)),
        ("save_address", shop::customer(1), Action::AddressAdd(save)),
        ("change_address", shop::customer(1), Action::AddressUpdate(move_house)),
        ("remove_address", shop::customer(1), Action::AddressRemove(forget)),
        ("keyring", node, keyring()),
        ("key_version", node, Action::MasterVersionAdd(report)),
        ("key_activate", staff, Action::MasterVersionActivate(activate)),
        ("key_retire", staff, Action::MasterVersionRetire(MasterVersionRetire { number: 2 })),
        ("tick", node, Action::Tick(Tick)),
    ];
    all.extend(about_people());
    all
}

/// The same about users, their sessions and their mail.
fn about_people() -> Vec<(&'static str, Actor, Action)> {
    let (node, staff, anyone) = (Actor::Node, shop::STAFF, Actor::Anyone);
    let (user, session, effect) = (UserId::new(1001), SessionId::new(1), EffectId::new(1));
    let (email, sealed) = (EmailIndex([1; 32]), || Sealed(vec![1; 66]));
    let account = Account {
        data_key: sealed(),
        email_index: email,
        email: sealed(),
        profile: sealed(),
        password: sealed(),
        password_version: 1,
        language: Language::Korean,
    };
    let home = AddressAdd { id: AddressId::new(1), body: sealed() };
    let code = |purpose| {
        let (mac, letter) = ([1; 32], sealed());
        Action::EmailCodeRequest(EmailCodeRequest { purpose, email, mac, effect, letter })
    };
    let confirm = EmailCodeConfirm { email, mac: [1; 32], proof: [2; 32] };
    let sign_up =
        UserSignUp { id: user, account: account.clone(), proof: [2; 32], address: Some(home) };
    let admin = AdminBootstrap { id: user, account };
    let update = UserUpdate { if_version: 1, profile: sealed() };
    let change = PasswordChange { password_version: 1, password: sealed(), session: Some(session) };
    let reset = PasswordReset { user, secret: [1; 32], password: sealed() };
    let block = UserManage { id: user, if_version: 0, role: None, blocked: Some(true) };
    let promote =
        UserManage { id: user, if_version: 0, role: Some(Role::Admin), blocked: Some(false) };
    let open = SessionOpen { id: session, user, password_version: 1, refresh_key: 1 };
    let issue = |life_ms| Action::SessionIssue(SessionIssue { id: session, user, life_ms });
    let report = |attempt| Action::EffectReport(EffectReport { id: effect, attempts: 0, attempt });
    let later = Attempt::Retry { wait_ms: 1_000, code: "mail_busy".into() };
    let ours = Actor::Session { user, session, role: Role::Customer };
    let rotate = SessionRotate { id: session, generation: 0 };
    let reveal_order = OrderReveal { id: OrderId::new(1), reason: sealed() };
    vec![
        ("code_to_sign_up", anyone, code(CodePurpose::SignUp)),
        ("code_for_a_password", anyone, code(CodePurpose::PasswordReset)),
        ("confirm_code", anyone, Action::EmailCodeConfirm(confirm)),
        ("sign_up", anyone, Action::UserSignUp(sign_up)),
        ("first_admin", staff, Action::AdminBootstrap(admin)),
        ("update_user", ours, Action::UserUpdate(update)),
        ("change_password", shop::customer(1), Action::PasswordChange(change)),
        ("reset_password", anyone, Action::PasswordReset(reset)),
        ("block", staff, Action::UserManage(block)),
        ("promote", staff, Action::UserManage(promote)),
        ("erase", ours, Action::UserErase(UserErase { id: user, if_version: None })),
        ("reveal_order", staff, Action::OrderReveal(reveal_order)),
        ("reveal_user", staff, Action::UserReveal(UserReveal { id: user, reason: sealed() })),
        ("log_in", anyone, Action::SessionOpen(open)),
        ("wrong_password", anyone, Action::LoginFail(LoginFail { user })),
        ("rotate", anyone, Action::SessionRotate(rotate)),
        ("log_out", anyone, Action::SessionClose(SessionClose { id: session, user })),
        ("issue_session", staff, issue(60_000)),
        ("issue_session_for_centuries", staff, issue(i64::MAX)),
        ("mail_sent", node, report(Attempt::Done)),
        ("mail_later", node, report(later)),
        ("mail_failed", node, report(Attempt::Failed { code: "mail_refused".into() })),
        ("order_in_a_session", ours, shop::order(9, &[(shop::POOLS[0], 1)])),
    ]
}

const fn master(number: u32) -> MasterCheck {
    MasterCheck { number, check: [7; 32] }
}

fn cluster_keys() -> Vec<ClusterKey> {
    let wrapped = || Sealed(vec![1; 66]);
    let key = |purpose| ClusterKey { purpose, number: 1, wrapped: wrapped(), master: 1 };
    Purpose::ALL.map(key).to_vec()
}

fn keyring() -> Action {
    let versions = vec![master(1), master(2)];
    Action::KeyringCreate(KeyringCreate { node: 1, versions, keys: cluster_keys() })
}

fn commands() -> std::io::Result<()> {
    for (name, actor, action) in actions() {
        write("command_bytes", name, encoded(&shop::by(actor, action)))?;
    }
    write("command_bytes", "order_with_a_key", order())?;
    let with = |at: usize, byte: u8| {
        let mut bytes = order().to_vec();
        bytes[at] = byte;
        bytes
    };
    write("command_bytes", "unknown_command", with(1, 0x7f))?;
    write("command_bytes", "later_version", with(2, 2))?;
    write("command_bytes", "cut_short", &order()[..20])?;
    write("command_bytes", "more_behind", [&order()[..], &[0]].concat())
}

fn log_entries() -> std::io::Result<()> {
    for (name, entry) in entries() {
        write("log_entry_bytes", &format!("entry_{name}"), [vec![0], entry].concat())?;
    }
    let known: Vec<Entry> = (5..)
        .zip(entries())
        .map(|(index, (_, bytes))| Entry { index, bytes: bytes.into() })
        .collect();
    let frame = firstcome_storage::fuzz::frame_of(&known);
    let frames = |payload: &[u8]| [&[1], payload].concat();
    let from = |index: u64| {
        let mut frame = frame.clone();
        frame[1..9].copy_from_slice(&index.to_le_bytes());
        frames(&frame)
    };
    write("log_entry_bytes", "frame", from(5))?;
    write("log_entry_bytes", "frame_at_the_end_of_all_indexes", from(u64::MAX))?;
    write("log_entry_bytes", "frame_cut_short", frames(&frame[..frame.len() - 2]))?;
    write("log_entry_bytes", "frame_without_an_end", frames(&frame[..frame.len() - 1]))?;
    write("log_entry_bytes", "frame_of_nothing", frames(&[255]))?;
    write("log_entry_bytes", "frame_of_a_forged_length", frames(&[2, 255, 255, 255, 255, 0]))?;
    write(
        "log_entry_bytes",
        "frame_of_marks",
        frames(&[2, 1, 0, 0, 0, 9, 5, 7, 0, 0, 0, 0, 0, 0, 0, 7, 255]),
    )
}

fn snapshots() -> std::io::Result<()> {
    let at = |days: i64, revision, command| Committed {
        stamp: Stamp { revision: Revision::new(revision), now: Millis::new(days * 86_400_000) },
        command,
    };
    let entry = |revision, command| at(0, revision, command);
    let mut entries = vec![entry(0, None)];
    let opening = [shop::product(9), shop::sale(1, 3, 0, None)];
    for (revision, action) in (1..).zip(opening) {
        entries.push(entry(revision, Some(shop::by(shop::STAFF, action))));
    }
    entries.push(entry(3, Some(keyed_order())));
    let empty = checked_chunks(&entries[..1]);
    let shop = checked_chunks(&entries);
    let settings = SettingsUpdate { if_version: 0, settings: Settings::default() };
    let settings = shop::by(shop::STAFF, Action::SettingsUpdate(settings));
    entries.push(at(8, 4, Some(settings)));
    entries.push(at(8, 5, Some(shop::by(Actor::Node, Action::Tick(Tick)))));
    let wish = WishlistSet { target: shop::POOLS[0], quantity: 1 };
    entries.push(at(8, 6, Some(shop::by(shop::customer(1), Action::WishlistSet(wish)))));
    let save = AddressAdd { id: AddressId::new(1), body: Sealed(vec![1; 150]) };
    entries.push(at(8, 7, Some(shop::by(shop::customer(1), Action::AddressAdd(save)))));
    entries.push(at(8, 8, Some(shop::by(Actor::Node, keyring()))));
    let wanted = ["code_to_sign_up", "first_admin", "log_in"];
    let people = about_people().into_iter().filter(|(name, ..)| wanted.contains(name));
    for (revision, (_, actor, action)) in (9..).zip(people) {
        entries.push(at(8, revision, Some(shop::by(actor, action))));
    }
    write("snapshot_bytes", "shop_after_a_week", checked_chunks(&entries))?;
    write("snapshot_bytes", "nothing", &empty)?;
    write("snapshot_bytes", "product", checked_chunks(&entries[..2]))?;
    write("snapshot_bytes", "shop_with_an_order", &shop)?;
    write("snapshot_bytes", "nothing_after_its_trailer", [&empty[..], &empty[1..]].concat())?;
    let mut raw = empty.clone();
    raw[0] = 0;
    write("snapshot_bytes", "without_its_checksum", raw)?;
    let mut flipped = shop.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    write("snapshot_bytes", "row_with_a_flipped_bit", flipped)?;
    let mut short = shop[..shop.len() - 20].to_vec();
    let length = u16::try_from(short.len() - 3).expect("a small shop").to_le_bytes();
    short[1..3].copy_from_slice(&length);
    write("snapshot_bytes", "without_its_trailer", short)?;
    resealed(&shop)
}

/// Snapshots that agree with themselves, and still are not what this release would send.
fn resealed(shop: &[u8]) -> std::io::Result<()> {
    let write = |name: &str, change: &dyn Fn(&mut Records)| {
        let mut records = Records::read(&shop[3..]).expect("a whole snapshot");
        change(&mut records);
        let chunk = records.chunk();
        let length = u16::try_from(chunk.len()).expect("a small shop").to_le_bytes();
        write("snapshot_bytes", name, [&[3][..], &length, &chunk].concat())
    };
    let journal = |(table, ..): &&mut (u16, Vec<u8>, Vec<u8>)| *table == Journal::TABLE.0;
    write("resealed", &|_| {})?;
    write("resealed_without_an_index", &|records| records.leave_out(OrdersByTicket::TABLE.0))?;
    write("resealed_with_an_unknown_index", &|records| {
        records.rows.push((1999, b"key".to_vec(), Vec::new()));
    })?;
    write("resealed_with_rows_of_a_later_release", &|records| {
        records.rows.push((999, b"key".to_vec(), Vec::new()));
    })?;
    write("resealed_row_of_a_later_version", &|records| {
        records.rows.iter_mut().find(journal).expect("an order was placed").2[0] = 9;
    })?;
    write("resealed_row_that_cannot_be_read_ended_the_node", &|records| {
        records.rows.iter_mut().find(journal).expect("an order was placed").2.truncate(3);
    })
}

fn requests() -> std::io::Result<()> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let send = |method: &str, path: &str, who: &str, key: &str, body: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {who}\r\n{key}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            // Words stand for ids of 30 characters.
            body.replace("$SALE", &"0".repeat(30)).replace("$PRODUCT", &"0".repeat(30)).len()
        )
    };
    let key = "idempotency-key: k-1\r\n";
    let order = r#"{"lines":[{"sale_id":"$SALE","quantity":1}]}"#;
    let product = r#"{"name":"cup","stock":3,"price":{"amount":5,"currency":"KRW"}}"#;
    let sale =
        r#"{"product_id":"$PRODUCT","title":"drop","units":1,"opens_at":"2026-01-01T00:00:00Z"}"#;
    let all = [
        ("time", get("/v1/time")),
        ("alive", get("/livez")),
        ("openapi", get("/openapi.json")),
        ("products", get("/v1/products?limit=2")),
        ("sale", get("/v1/sales/$SALE")),
        ("stock_read_locally", get("/v1/sales/$SALE/stock?consistency=local")),
        ("unknown_parameter", get("/v1/products?limits=2")),
        ("cursor_of_a_stranger", get("/v1/products?cursor=AAAA")),
        ("no_route", get("/v1/nothing")),
        ("no_method", "BREW /v1/orders HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        ("no_http", "hello\r\n\r\n".to_owned()),
        ("half_a_head", "GET /v1/time HTTP/1.1\r\nhost: ".to_owned()),
        ("order", send("POST", "/v1/orders", "$CUSTOMER", key, order)),
        ("order_without_key", send("POST", "/v1/orders", "$CUSTOMER", "", order)),
        ("order_without_token", send("POST", "/v1/orders", "", key, order)),
        ("order_of_nothing", send("POST", "/v1/orders", "$CUSTOMER", key, r#"{"lines":[]}"#)),
        ("order_of_minus_one", send("POST", "/v1/orders", "$CUSTOMER", key, &order.replace(":1", ":-1"))),
        ("order_that_is_no_json", send("POST", "/v1/orders", "$CUSTOMER", key, "{")),
        ("order_by_array", send("POST", "/v1/orders", "$CUSTOMER", key, "[[]]")),
        ("wish", send("PUT", "/v1/me/wishlist/$SALE", "$CUSTOMER", "", r#"{"quantity":1}"#)),
        ("wishlist_order", send("POST", "/v1/me/wishlist/orders", "$CUSTOMER", key, "{}")),
        ("address", send("POST", "/v1/me/addresses", "$CUSTOMER", key, r#"{"recipient":"a","phone":"01012345678","country":"KR","line1":"b"}"#)),
        ("order_to_an_address", send("POST", "/v1/me/wishlist/orders", "$CUSTOMER", key, r#"{"address_id":"adr_00000000000000000000000001"}"#)),
        ("own_orders", "GET /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer $CUSTOMER\r\n\r\n".to_owned()),
        ("new_product", send("POST", "/v1/admin/products", "$OPERATOR", "", product)),
        ("new_product_by_a_customer", send("POST", "/v1/admin/products", "$CUSTOMER", "", product)),
        ("new_sale", send("POST", "/v1/admin/sales", "$OPERATOR", "", sale)),
        ("price_change", send("PATCH", "/v1/admin/products/$PRODUCT", "$OPERATOR", "if-match: \"1\"\r\n", r#"{"price":{"amount":7,"currency":"KRW"}}"#)),
        ("pause", send("POST", "/v1/admin/sales/$SALE/pauses", "$OPERATOR", "", "{}")),
        ("settings", send("PATCH", "/v1/admin/settings", "$ADMIN", "if-match: \"0\"\r\n", r#"{"pay_attempts":2}"#)),
        ("chunked_order", format!("POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer $CUSTOMER\r\n{key}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n")),
        ("two_lengths", "POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".to_owned()),
    ];
    for (name, request) in all {
        write("http_request", name, request)?;
    }
    Ok(())
}

fn settings() -> std::io::Result<()> {
    let example = include_str!("../../../cluster.toml");
    let all = [
        ("example", example),
        ("nothing", ""),
        (
            "sections",
            "[raft]\nheartbeat = \"50ms\"\nelection_min = \"200ms\"\n[log]\nlevel = \"warn\"\n",
        ),
        ("dial", "network.dial = { n2 = \"127.0.0.1:1\", \"n 3\" = \"\" }"),
        ("open_address", "cluster.nodes = [{ name = \"a\", api = \"0.0.0.0:1\", peer = \"b:2\" }]"),
        ("typing_error", "[raft]\n\nhartbeat = \"50ms\""),
        ("wrong_kind", "raft.heartbeat = 50"),
        ("planned", "disk.low = \"1GiB\""),
        ("no_toml", "a = = b"),
        (
            "two_nodes_of_one_name",
            "cluster.nodes = [{ name = \"a\", api = \"b\", peer = \"c\" }, { name = \"a\", api = \"b\", peer = \"c\" }]",
        ),
        ("beats_that_contradict", "raft.heartbeat = \"500ms\""),
        (
            "sizes",
            "storage.state_cache = \"3GiB\"\nstorage.checkpoint_bytes = \"4096B\"\nsnapshot.entries = 10",
        ),
        ("longest_span", "raft.heartbeat = \"9223372036854775807h\""),
        (
            "span_of_centuries",
            "raft.heartbeat = \"18446744073709551615s\"\nraft.election_max = \"18446744073709551615s\"",
        ),
        (
            "issuers",
            "auth.issuers = [{ issuer = \"a\", audience = \"b\", algorithms = [\"HS256\"], secret_file = \"c\" }]",
        ),
        (
            "issuer_with_url",
            "[[auth.issuers]]\nissuer = \"a \\\"\"\naudience = \"b\"\nalgorithms = [\"ES256\", \"EdDSA\"]\njwks_url = \"https://[fd00::1]:444/k?x#y\"\njwks_private = true\nsubject_claim = \"id\"",
        ),
        (
            "issuer_with_public_secret",
            "auth.issuers = [{ issuer = \"a\", audience = \"b\", algorithms = [\"HS256\"], jwks_file = \"c\" }]",
        ),
        ("control_characters", "node.name = \"\\u0001\\u007f\\u200b \\\"\""),
    ];
    for (name, text) in all {
        write("cluster_toml", name, text)?;
    }
    Ok(())
}

fn operations() -> std::io::Result<()> {
    // what, which, how much, time
    let decide: &[(&str, &[[u8; 4]])] = &[
        ("two_buyers", &[[0, 1, 1, 0], [0, 4, 1, 0], [9, 3, 0, 0], [15, 0, 0, 0]]),
        ("sold_out", &[[0, 1, 2, 0], [0, 4, 2, 0], [0, 7, 2, 0], [0, 10, 2, 0]]),
        ("repeated_key", &[[128, 1, 1, 0], [128, 1, 1, 0], [129, 1, 1, 0], [128, 1, 1, 7]]),
        ("expiry", &[[0, 1, 2, 0], [15, 0, 0, 6], [0, 4, 2, 0], [8, 3, 1, 5], [15, 0, 0, 7]]),
        ("late_money", &[[0, 4, 1, 0], [15, 0, 0, 7], [8, 3, 0, 0], [8, 3, 241, 0]]),
        (
            "corrections",
            &[[11, 0, 3, 0], [11, 0, 7, 0], [11, 1, 9, 0], [12, 0, 6, 0], [12, 1, 10, 0]],
        ),
        ("closed", &[[13, 0, 1, 0], [0, 1, 1, 0], [13, 0, 200, 0], [14, 0, 0, 0], [0, 1, 1, 0]]),
        ("cancelled", &[[6, 1, 0, 0], [7, 1, 0, 0], [7, 4, 0, 0], [15, 1, 1, 1]]),
        ("only_ticks", &[[15, 0, 0, 7], [15, 0, 0, 7]]),
        (
            "retention",
            &[[128, 1, 1, 0], [0, 4, 1, 0], [15, 0, 0, 2], [15, 0, 0, 0], [128, 1, 1, 0]],
        ),
    ];
    for (name, steps) in decide {
        write("decide_ops", name, steps.concat())?;
    }
    // 0 append, 3 truncate, 4 purge, 5 vote, 6 work, 7 apply, 8 checkpoint, 9 crash, 10 fault
    let storage: &[(&str, &[[u8; 2]])] = &[
        ("append_and_crash", &[[0, 3], [6, 0], [0, 2], [9, 1], [11, 0], [0, 1], [6, 0], [9, 3]]),
        (
            "view_while_rows_change",
            &[
                [0, 3],
                [0, 3],
                [0, 3],
                [0, 3],
                [6, 0],
                [7, 3],
                [7, 3],
                [11, 0],
                [7, 3],
                [8, 0],
                [11, 0],
                [7, 3],
                [8, 0],
                [7, 3],
                [11, 0],
                [0, 3],
                [0, 3],
                [7, 3],
                [7, 3],
                [11, 0],
                [8, 0],
                [9, 1],
                [11, 0],
                [7, 3],
                [11, 0],
            ],
        ),
        ("vote", &[[5, 7], [11, 0], [6, 0], [5, 8], [9, 0], [11, 0]]),
        ("truncate", &[[0, 3], [0, 3], [6, 0], [3, 2], [0, 7], [6, 0], [9, 4]]),
        ("checkpoint", &[[0, 3], [7, 3], [8, 0], [0, 3], [7, 2], [9, 1], [7, 3], [8, 0], [9, 3]]),
        (
            "purge",
            &[[0, 3], [0, 3], [7, 3], [7, 3], [8, 0], [4, 1], [6, 0], [9, 2], [0, 1], [6, 0]],
        ),
        ("failing_commit", &[[0, 3], [6, 0], [0, 3], [10, 1], [6, 0]]),
        ("failing_checkpoint", &[[0, 3], [6, 0], [7, 3], [10, 4], [8, 0]]),
        ("nothing_acknowledged", &[[0, 3], [9, 0]]),
    ];
    for (name, steps) in storage {
        write("storage_ops", name, steps.concat())?;
    }
    Ok(())
}

fn histories() -> std::io::Result<()> {
    let header = r#"{"i":0,"type":"header","format":1,"run":"r"}"#;
    let ask = r#"{"i":1,"t":5,"p":1,"type":"invoke","f":"order","pool":"sal_1","key":"k","value":{"qty":1},"node":"n1"}"#;
    let ok = r#"{"i":2,"t":6,"p":1,"type":"ok","f":"order","pool":"sal_1","key":"k","value":{"order":"ord_1"},"node":"n1","rev":9}"#;
    let lost = r#"{"i":2,"t":6,"p":1,"type":"info","f":"order","key":"k"}"#;
    let fault = r#"{"i":1,"t":5,"p":"nemesis","type":"info","f":"kill","value":{"nodes":["n1"]}}"#;
    let all: &[(&str, &[&str])] = &[
        ("order", &[header, ask, ok]),
        ("lost", &[header, ask, lost]),
        ("fault", &[header, fault]),
        ("header_alone", &[header]),
        ("nothing", &[]),
        ("no_header", &[ask]),
        ("another_format", &[r#"{"i":0,"type":"header","format":2,"run":"r"}"#]),
        ("gap", &[header, ok]),
        ("answer_to_nobody", &[header, &ok.replace("\"i\":2", "\"i\":1")]),
        ("asks_twice", &[header, ask, &ask.replace("\"i\":1", "\"i\":2")]),
        ("time_goes_back", &[header, ask, &lost.replace("\"t\":6", "\"t\":4")]),
        ("unknown_member", &[header, r#"{"i":1,"t":1,"p":1,"type":"invoke","f":"x","more":1}"#]),
        ("no_revision", &[header, ask, &ok.replace(",\"rev\":9", "")]),
        ("fraction", &[header, &ask.replace("\"qty\":1", "\"qty\":1.1e-7")]),
    ];
    for (name, lines) in all {
        write("history_jsonl", name, lines.join("\n"))?;
    }
    Ok(())
}

fn keys() -> std::io::Result<()> {
    let long = "x".repeat(255);
    let longer = "x".repeat(256);
    let all = [
        ("key", "k-912"),
        ("uuid", "018f6b2e-1111-7abc-8def-0123456789ab"),
        ("longest", long.as_str()),
        ("too_long", longer.as_str()),
        ("none", ""),
        ("space", "k 912"),
        ("two_headers", "one\ntwo"),
        ("empty_header", "\n"),
        ("not_ascii", "k\u{e9}"),
        ("with_body", "k\0{\"a\":[1,{\"b\":null}],\"c\":\"x\"}"),
        ("with_other_order", "k\0{\"c\":\"x\",\"a\":[1,{\"b\":null}]}"),
        ("with_fraction", "k\0{\"a\":1.5e300}"),
        ("with_doubled_member", "k\0{\"a\":1,\"a\":2}"),
        ("with_no_json", "k\0{"),
    ];
    for (name, text) in all {
        write("idempotency_header", name, text)?;
    }
    Ok(())
}

fn issuer_tokens() -> std::io::Result<()> {
    let plain = r#"{"alg":"HS256"}"#;
    let typed = r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#;
    let good = r#"{"iss":"shop","aud":"firstcome","sub":"alice","exp":1800000600}"#;
    let all = [
        ("token", plain, good.to_owned()),
        ("typed", typed, good.replace('}', r#","iat":1800000000,"nbf":1799999999.5}"#)),
        ("audiences", plain, good.replace("\"firstcome\"", "[\"x\",\"firstcome\"]")),
        ("expired", plain, good.replace("1800000600", "1700000000")),
        ("next_week", plain, good.replace("1800000600", "1800600000")),
        ("text_nbf", plain, good.replace('}', r#","nbf":"1800000000"}"#)),
        ("staff", plain, good.replace('}', r#","role":"admin"}"#)),
        ("another_issuer", plain, good.replace("shop", "firstcome")),
        ("another_audience", plain, good.replace("\"firstcome\"", "[]")),
        ("no_subject", plain, good.replace("\"sub\"", "\"user\"")),
        ("subject_twice", plain, good.replace('}', r#","sub":"bob"}"#)),
        ("number_subject", plain, good.replace("\"alice\"", "7")),
        ("none", r#"{"alg":"none"}"#, good.to_owned()),
        ("swapped", r#"{"alg":"RS256"}"#, good.to_owned()),
        ("jku", r#"{"alg":"HS256","jku":null}"#, good.to_owned()),
        ("crit", r#"{"alg":"HS256","crit":["exp"]}"#, good.to_owned()),
        ("logout", r#"{"alg":"HS256","typ":"logout+jwt"}"#, good.to_owned()),
        ("list_for_a_header", r#"["HS256",null,"JWT"]"#, good.to_owned()),
        ("field_out_of_range", r#"{"alg":"HS256","x":1e400}"#, good.to_owned()),
        ("no_json", "{", good.to_owned()),
    ];
    for (name, header, claims) in all {
        write("issuer_token", name, format!("{header}\0{claims}"))?;
    }
    let secret = b"thirty-two bytes that we all know";
    let token = firstcome_api::fuzz::signed(secret, plain.as_bytes(), good.as_bytes());
    write("issuer_token", "whole", &token)?;
    write("issuer_token", "cut_short", &token[..token.len() - 4])
}

fn key_sets() -> std::io::Result<()> {
    let ed25519 = r#"{"kty":"OKP","crv":"Ed25519","kid":"d","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let p256 = r#"{"kty":"EC","crv":"P-256","kid":"e","use":"sig","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let secret = r#"{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","alg":"HS256"}"#;
    let rsa = format!(r#"{{"kty":"RSA","alg":"RS256","n":"{}","e":"AQAB"}}"#, "w".repeat(342));
    let set = |keys: &[&str]| format!("{{\"keys\":[{}]}}", keys.join(","));
    let all = [
        ("ed25519", set(&[ed25519])),
        ("p256", set(&[p256])),
        ("rsa", set(&[&rsa])),
        ("all", set(&[ed25519, p256, &rsa, secret, "null"])),
        ("secret", set(&[secret])),
        ("encryption", set(&[&p256.replace("sig", "enc")])),
        ("p384", set(&[&p256.replace("P-256", "P-384")])),
        ("short", set(&[&ed25519.replace("11qY", "")])),
        ("another_alg", set(&[&rsa.replace("RS256", "HS256")])),
        ("member_twice", set(&[&ed25519.replace("\"kid\"", "\"x\":\"\",\"kid\"")])),
        ("empty", set(&[])),
        ("list_for_a_set", format!("[[{ed25519}]]")),
        ("no_list", "{\"keys\":{}}".to_owned()),
        ("html", "<html>".to_owned()),
    ];
    for (name, text) in all {
        write("jwks", name, text)?;
    }
    Ok(())
}

fn refresh_tokens() -> std::io::Result<()> {
    let session = "ses_01JDZ3M5QK7V8XABCDEFGHJKMN";
    let first = firstcome_api::fuzz::refresh_token(session, 0);
    let last = firstcome_api::fuzz::refresh_token(session, u32::MAX);
    for (name, text) in [
        ("first", first.clone()),
        ("cut_short", first[..first.len() - 1].to_owned()),
        ("padded", format!("{first}=")),
        ("another_generation", first.replace(".0.", ".1.")),
        ("zeros_in_front", first.replace(".0.", ".00.")),
        ("sign", first.replace(".0.", ".+0.")),
        ("another_session", first.replace("01JD", "01JC")),
        ("another_prefix", first.replace("rft_", "ses_")),
        ("four_parts", format!("{first}.")),
        ("generation_too_large", last.replace("4294967295", "4294967296")),
        ("last", last),
    ] {
        write("refresh_token", name, text)?;
    }
    Ok(())
}
