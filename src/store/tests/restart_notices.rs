//! Notices of a restart that are owed.

use super::*;

pub async fn a_notice_is_owed_until_it_was_taken(database: TestDatabase) {
    let (one, other) = (database.connect().await, database.connect().await);
    assert_eq!(one.owed_notices().await.unwrap(), []);
    one.owe_notice("b").await.unwrap();
    one.owe_notice("a").await.unwrap();
    other.owe_notice("a").await.unwrap();
    let owed = [("a".to_owned(), 2), ("b".to_owned(), 1)];
    assert_eq!(one.owed_notices().await.unwrap(), owed);
    assert_eq!(other.owed_notices().await.unwrap(), owed);
    assert!(!one.notice_was_taken("a", 1).await.unwrap(), "another start came since");
    assert!(one.notice_was_taken("a", 2).await.unwrap());
    assert!(!one.notice_was_taken("a", 2).await.unwrap());
    assert_eq!(database.connect().await.owed_notices().await.unwrap(), owed[1..]);
    other.owe_notice("a").await.unwrap();
    assert_eq!(one.owed_notices().await.unwrap()[0], ("a".to_owned(), 1));
}
