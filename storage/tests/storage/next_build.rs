//! What the build with the feature `next` wrote, read by this one: at level 1 it is like our own, at
//! level 2 it is refused. `../next` writes it, and reads what this build wrote.

#[path = "../next/shared.rs"]
mod shared;

use firstcome_domain::kernel::version::Level;
use firstcome_storage::codec::RELEASE;
use firstcome_storage::inspect::Inspection;
use firstcome_storage::{Error, codec};

use self::shared::{FILES, Home, Node, further, golden, recorded, unhex, unlogged};

/// What the other release calls itself.
const NEXT: &str = "0.2.0-next";

/// Asserts that it is of another release, and that both are named.
#[track_caller]
fn foreign<T>(result: Result<T, Error>) {
    let error = result.err().expect("an error");
    let text = error.to_string();
    assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
    assert!(text.contains(NEXT) && text.contains(RELEASE), "{text}");
}

/// What both builds make of the same entries; the build with the feature compares.
#[test]
fn the_history_goes_on_as_recorded() {
    let home = Home::copy_of("v1/node");
    let node = home.open().unwrap();
    let entries = further(node.applied());
    let account = node.account_of(&entries).join("\n") + "\n";
    assert_eq!(recorded("v1/further.txt", &account), account);
}

#[test]
fn a_directory_at_level_2_is_refused_and_stays_as_it_is() {
    let home = Home::copy_of("next/level-2");
    let before = FILES.map(|file| std::fs::read(home.path().join(file)).unwrap());
    foreign(Inspection::open(&home.path()));
    let after = FILES.map(|file| std::fs::read(home.path().join(file)).unwrap());
    assert!(before == after, "a file changed");
    foreign(home.open());
    // The log was opened, and may be: redb writes to a file that it opens.
    for (file, before) in FILES.into_iter().zip(before).filter(|(file, _)| *file != "log.00000001")
    {
        assert!(std::fs::read(home.path().join(file)).unwrap() == before, "{file} changed");
    }
}

#[test]
fn a_directory_at_level_1_opens_and_goes_on_as_recorded() {
    let home = Home::copy_of("next/level-1");
    let sound = || assert_eq!(Inspection::open(&home.path()).unwrap().check().unwrap(), []);
    sound();
    let node = home.open().unwrap();
    let applied = node.applied();
    // It is behind the history of version 1 by ten entries, and goes on with it.
    let began = applied - 10;
    let account = node.account_of(&further(began)[10..]);
    let expected = std::fs::read_to_string(golden("v1/further.txt")).unwrap();
    assert!(account.iter().eq(expected.lines().skip(10)));
    node.close();
    sound();
}

/// The entries of a leader at level 2: the one that raises the level is the last that is read.
#[test]
fn entries_above_the_level_stop_the_node_and_leave_its_files_alone() {
    let home = Home::copy_of("next/level-1");
    let disk = || {
        let look = Inspection::open(&home.path()).unwrap();
        assert_eq!(look.check().unwrap(), []);
        (look.applied(), look.log().unwrap())
    };
    let before = disk();
    let replay = || {
        let node = home.open().unwrap();
        let next = node.applied() + 1;
        let entries = node.log.read(next..u64::MAX, usize::MAX).unwrap();
        let mut read = entries.iter().map(unlogged);
        let mut done = Vec::new();
        let raise = loop {
            let entry = read.next().unwrap().unwrap();
            match node.apply(&entry) {
                Ok(_) => done.push(node.state.applied().hash),
                Err(error) => break error,
            }
        };
        assert_eq!(done.len(), 10, "those at level 1 were applied");
        assert!(matches!(raise, Error::Foreign { .. }));
        foreign(Err::<(), _>(raise));
        // What comes behind is not even read.
        let unknown = read.next().unwrap().expect_err("a command of level 2");
        assert!(matches!(unknown, Error::Foreign { .. }), "{unknown:?}");
        assert!(unknown.to_string().contains(RELEASE), "{unknown}");
        // Nothing else is done: neither a checkpoint nor a read.
        foreign(node.state.checkpoint());
        foreign(node.state.view());
    };
    replay();
    assert_eq!(disk(), before);
    // The next start fails in the same way.
    replay();
    assert_eq!(disk(), before);
}

fn fresh() -> (Home, Node) {
    let home = Home::empty();
    let node = home.create();
    (home, node)
}

#[test]
fn a_snapshot_at_level_1_installs_and_one_at_level_2_is_refused() {
    let (home, node) = fresh();
    foreign(node.install(&unhex("next/level-2.hex")));
    assert_eq!(node.state.applied().revision, None);
    node.install(&unhex("next/level-1.hex")).unwrap();
    assert_eq!(node.state.level(), Level::FIRST);
    let expected = std::fs::read_to_string(golden("v1/further.txt")).unwrap();
    let tenth = expected.lines().nth(9).unwrap();
    let applied = node.state.applied();
    assert!(tenth.starts_with(&format!("{} {:032x}", node.applied(), applied.hash.0)));
    foreign(node.install(&unhex("next/level-2.hex")));
    assert_eq!(node.state.applied(), applied);
    node.close();
    assert_eq!(Inspection::open(&home.path()).unwrap().check().unwrap(), []);
    assert_eq!(home.open().unwrap().state.applied(), applied);
}

/// A leader that takes forwarded commands looks no further than their head.
#[test]
fn the_head_of_a_command_says_whether_it_is_known() {
    let home = Home::copy_of("next/level-1");
    let node = home.open().unwrap();
    let entries = node.log.read(node.applied() + 1..u64::MAX, usize::MAX).unwrap();
    let commands = entries.iter().map(|entry| &entry.bytes[8..]).filter(|bytes| !bytes.is_empty());
    let mut known: Vec<bool> = commands.map(codec::is_known_command).collect();
    // The log ends with the raise, a note and a tick.
    let last = known.split_off(known.len() - 3);
    assert_eq!(last, [true, false, true]);
    assert!(!known.is_empty() && known.iter().all(|known| *known));
}
