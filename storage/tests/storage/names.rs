//! The list of products by a part of their name: what a filtered full scan finds, and without one.

use std::cell::Cell;
use std::sync::Arc;

use firstcome_domain::command::{Action, Command, ProductUpdate};
use firstcome_domain::id::ProductId;
use firstcome_domain::product::Product;
use firstcome_storage::State;
use firstcome_storage::query::Direction;

use crate::apply::Store;
use crate::lists::by_pages;
use crate::shop::{by_staff, committed, create_product, discontinue, product};

/// Products in the order of the list; the second and every third after it are discontinued.
const NAMES: [&str; 14] = [
    "Blue Teapot",
    "blue tea cup",
    "TEAPOTLID, white",
    "\u{d55c}\u{ad6d} \u{cc3b}\u{c8fc}\u{c804}\u{c790} \u{c138}\u{d2b8}",
    "\u{cc3b}\u{c794}",
    "\u{2615}\u{2615}",
    "!?",
    "Caf\u{e9} au lait",
    "supercalifragilisticexpialidocious",
    "fragile",
    "a-b-c",
    "42 cups",
    "banana",
    "\u{39f}\u{394}\u{39f}\u{3a3} 7",
];

/// More products with this in their names than the index of names is used for.
const COMMON: &str = "saucer";
const COMMON_MAX: u64 = 1100;

/// Ids stand in another order than the products were made.
fn id(n: u128) -> ProductId {
    product(n ^ 0b101)
}

fn named(n: u64, name: &str) -> Command {
    let mut command = create_product(0, 1);
    if let Action::ProductCreate(ask) = &mut command.action {
        ask.id = id(n.into());
        name.clone_into(&mut ask.name);
    }
    command
}

/// A store with all those products, some in the file and some in memory.
fn filled() -> Store {
    let store = Store::new();
    let mut revision = 0;
    let mut apply = |command: Command| {
        revision += 1;
        store.apply(&committed(revision, 0, Some(command)));
    };
    for (n, name) in (0..).zip(NAMES) {
        apply(named(n, name));
    }
    for n in (1..NAMES.len() as u128).step_by(3) {
        apply(discontinue(id(n)));
    }
    store.state.checkpoint().unwrap();
    for n in 0..COMMON_MAX {
        let name = if n == 700 { "the one saucer".to_owned() } else { format!("saucers {n}") };
        apply(named(100 + n, &name));
    }
    // It had another name once.
    apply(named(5000, "kettle"));
    apply(by_staff(Action::ProductUpdate(ProductUpdate {
        id: id(5000),
        if_version: 1,
        name: Some("teapot warmer".into()),
        description: None,
        image_url: None,
        no_shipping: None,
        price: None,
        waitlist: None,
    })));
    store
}

/// All products by ticket.
fn all(state: &State) -> Vec<Product> {
    let mut all = Vec::new();
    state.view().unwrap().each::<Product>(|row| {
        all.push(row.clone());
        true
    });
    all.sort_by_key(|row| row.row.created.revision);
    all
}

/// What a request for a part of a name lists, and how many products were looked at for it.
fn list(
    state: &State,
    part: &str,
    offered: bool,
    direction: Direction,
    limit: usize,
) -> (Vec<Arc<Product>>, usize) {
    let looked_at = Cell::new(0);
    let lower = part.to_lowercase();
    let keep = |row: &Product| {
        looked_at.set(looked_at.get() + 1);
        row.name.to_lowercase().contains(&lower)
    };
    let (found, _) = by_pages(state, |view, after| {
        view.products(offered, Some(part), direction, after, limit, keep)
    });
    (found, looked_at.get())
}

#[test]
fn products_by_a_part_of_their_name_are_those_of_a_full_scan() {
    let store = filled();
    let all = all(&store.state);
    assert_eq!(all.len() as u64, NAMES.len() as u64 + COMMON_MAX + 1);
    let queries = [
        // A word, the beginning, the middle and the end of one; in any case.
        ("teapot", 3),
        ("TEAP", 3),
        ("eapo", 3),
        ("lid", 2),
        ("ana", 1),
        // Two words, also only the end of one and the beginning of the other.
        ("blue tea", 2),
        ("ue te", 2),
        ("t, w", 0),
        ("lid, w", 1),
        // Words that are there, but not next to each other.
        ("cup blue", 0),
        // Korean: no spaces, one letter is a part.
        ("\u{cc3b}", 2),
        ("\u{c8fc}\u{c804}", 1),
        ("\u{ad6d} \u{cc3b}", 1),
        ("\u{e9} AU", 1),
        ("\u{3bf}\u{3b4}\u{3bf}", 1),
        // Longer than the index keeps of a word.
        ("califragilisticexpialidocious", 1),
        ("supercalifragilisticexpialidociousness", 0),
        ("califragilisticexpialidociouz", 0),
        // No word at all.
        ("\u{2615}", 1),
        ("?", 1),
        ("-", 1),
        (" ", 1108),
        // Short words, and numbers.
        ("b", 4),
        ("42", 22),
        // Nothing has it; the former name of one.
        ("zzzz", 0),
        ("kettle", 0),
        // Too many for the index.
        ("saucer", 1100),
        ("saucers 10", 111),
        ("one saucer", 1),
    ];
    for (part, matches) in queries {
        for offered in [false, true] {
            let lower = part.to_lowercase();
            let wanted = all.iter().filter(|row| row.name.to_lowercase().contains(&lower));
            let mut wanted: Vec<_> = wanted.filter(|row| !offered || !row.discontinued).collect();
            if !offered {
                assert_eq!(wanted.len(), matches, "{part:?}");
            }
            for direction in [Direction::Up, Direction::Down] {
                for limit in [3, 1000] {
                    let (found, _) = list(&store.state, part, offered, direction, limit);
                    let found: Vec<_> = found.iter().map(|row| &**row).collect();
                    let told = format!("{part:?} {offered} {direction:?} by {limit}");
                    assert!(found == wanted, "{told}: {found:?}");
                }
                wanted.reverse();
            }
        }
    }
}

/// One anonymous `q=` must not look at the whole catalogue.
#[test]
fn a_rare_part_looks_at_its_matches_only() {
    let store = filled();
    for reopened in [false, true] {
        for (part, at_most) in [("teapot", 3), ("zzzz", 0), ("one tea", 4), ("\u{cc3b}", 2)] {
            let (_, looked_at) = list(&store.state, part, false, Direction::Up, 1000);
            assert!(looked_at <= at_most, "{part:?} {reopened}: {looked_at} products");
        }
        let (found, looked_at) = list(&store.state, COMMON, false, Direction::Up, 2000);
        assert_eq!(found.len() as u64, COMMON_MAX);
        assert!(looked_at as u64 > COMMON_MAX, "{looked_at} products: this is no full scan");
        store.state.checkpoint().unwrap();
    }
}
