//! Who of several processes tells hubs.

use super::*;
use crate::store::Inserted;

pub async fn one_process_tells_a_start_and_another_takes_over_what_it_leaves(database: TestDatabase) {
    let (one, other) = (database.connect().await, database.connect().await);
    let mut sequences = Vec::new();
    for start in ["s1", "s2"] {
        let Inserted::New(made) = one.insert_service(&new_service("hub", "lab", start)).await.unwrap() else {
            panic!()
        };
        sequences.push(made.sequence);
    }
    let (first, second) = (sequences[0], sequences[1]);
    if !one.is_shared() {
        assert!(one.keep_telling("a", &sequences).await.unwrap().is_empty());
        assert!(one.tellers().await.unwrap().is_empty());
        return;
    }
    assert_eq!(one.keep_telling("a", &[first, second, 99_999]).await.unwrap(), sequences.iter().copied().collect());
    let seen = other.tellers().await.unwrap();
    assert_eq!(seen.len(), 2);
    assert!(!other.take_over_telling(first, None, "b").await.unwrap(), "somebody tells it");
    assert_eq!(one.keep_telling("a", &[first]).await.unwrap(), [first].into());
    assert!(!other.take_over_telling(first, seen.get(&first), "b").await.unwrap(), "it was told since");
    assert!(other.take_over_telling(second, seen.get(&second), "b").await.unwrap());
    assert!(!other.take_over_telling(second, seen.get(&second), "c").await.unwrap(), "once");
    assert_eq!(one.keep_telling("a", &sequences).await.unwrap(), [first].into(), "the other one is lost");
    one.end_telling("a", &sequences).await.unwrap();
    assert_eq!(other.tellers().await.unwrap().keys().copied().collect::<Vec<_>>(), [second]);
    assert!(other.take_over_telling(first, None, "b").await.unwrap());
    // What is over is told by nobody, and its row goes with it.
    one.begin_stop(first).await.unwrap();
    assert!(other.keep_telling("b", &[first]).await.unwrap().is_empty());
    one.remove_service(first).await.unwrap();
    assert_eq!(other.tellers().await.unwrap().keys().copied().collect::<Vec<_>>(), [second]);
    assert!(!other.take_over_telling(first, None, "b").await.unwrap());
}
