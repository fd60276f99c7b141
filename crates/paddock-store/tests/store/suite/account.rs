//! Accounts, authorizations, limits on log-ins.

use std::time::Duration;

use paddock_core::{AccountId, AuthorizationId};
use paddock_store::{LoginFailures, NewAccount, NewAuthorization, StoreError};
use uuid::Uuid;

use super::fixture::{Fixture, NOW};

#[tokio::test]
async fn an_email_is_unique_in_any_case() {
    let t = Fixture::new().await;
    let id = t.account("Ada@Example.test").await;
    assert_eq!(t.store.account_by_email("aDA@example.TEST").await.unwrap().unwrap().id, id);
    assert_eq!(t.store.account(id).await.unwrap().unwrap().email, "Ada@Example.test", "kept as written");

    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    let new = NewAccount {
        id: AccountId::from_uuid(Uuid::now_v7()),
        email: "ada@example.test".into(),
        name: None,
        password_hash: None,
    };
    assert!(
        matches!(tx.create_account(&new).await, Err(StoreError::EmailTaken(email)) if email == new.email)
    );
    drop(tx);

    let other = t.account("bob@example.test").await;
    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    assert!(matches!(tx.set_account_email(other, "ADA@example.test").await, Err(StoreError::EmailTaken(_))));
    drop(tx);
    assert_eq!(t.store.accounts().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_account_can_be_changed_and_a_missing_one_is_gone() {
    let t = Fixture::new().await;
    let id = t.account("ada@example.test").await;
    let later = NOW + Duration::from_secs(1);
    let mut tx = t.store.begin_platform(later, "test").await.unwrap();
    tx.set_account_name(id, Some("Ada")).await.unwrap();
    tx.set_account_email(id, "ada@example.org").await.unwrap();
    let nobody = AccountId::from_uuid(Uuid::now_v7());
    assert!(matches!(tx.set_account_name(nobody, None).await, Err(StoreError::Gone { .. })));
    tx.commit().await.unwrap();
    let account = t.store.account_by_email("ada@example.org").await.unwrap().unwrap();
    assert_eq!(account.name.as_deref(), Some("Ada"));
    assert_eq!((account.created_at, account.updated_at), (NOW, later));
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_until_its_authorization_is_deleted() {
    let t = Fixture::new().await;
    let account_id = t.account("ada@example.test").await;
    let new = |token: u8, expires_at| NewAuthorization {
        id: AuthorizationId::from_uuid(Uuid::now_v7()),
        account_id,
        token_sha256: [token; 32],
        token_hint: "…c0de".into(),
        description: "Heroku CLI".into(),
        scope: "global".into(),
        expires_at,
    };
    let (kept, short) = (new(1, None), new(2, Some(NOW)));
    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    tx.create_authorization(&kept).await.unwrap();
    tx.create_authorization(&short).await.unwrap();
    tx.touch_authorization(kept.id).await.unwrap();
    tx.commit().await.unwrap();

    let found = t.store.authorization_by_token(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((found.id, found.account_id, found.used_at), (kept.id, account_id, Some(NOW)));
    assert_eq!(t.store.authorizations_of(account_id).await.unwrap().len(), 2);

    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    assert_eq!(tx.purge_authorizations(NOW).await.unwrap(), 0, "not before it has passed");
    assert_eq!(tx.purge_authorizations(NOW + Duration::from_micros(1)).await.unwrap(), 1);
    assert!(tx.delete_authorization(kept.id).await.unwrap());
    assert!(!tx.delete_authorization(kept.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(t.store.authorization_by_token(&[1; 32]).await.unwrap(), None);
    assert_eq!(t.store.authorization_by_token(&[2; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn login_failures_are_counted_by_email_and_by_address() {
    let t = Fixture::new().await;
    for (email, address) in [("a@x.test", "10.0.0.1"), ("A@x.test", "10.0.0.2"), ("b@x.test", "10.0.0.1")] {
        let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
        tx.record_login_failure(email, address).await.unwrap();
        tx.commit().await.unwrap();
    }
    let count = |since| t.store.login_failures_since("a@X.test", "10.0.0.1", since);
    assert_eq!(count(NOW).await.unwrap(), LoginFailures { of_email: 2, of_address: 2, of_both: 1 });
    let none = LoginFailures { of_email: 0, of_address: 0, of_both: 0 };
    assert_eq!(count(NOW + Duration::from_micros(1)).await.unwrap(), none);

    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.clear_login_failures("a@x.test", "10.0.0.1").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(NOW).await.unwrap(), LoginFailures { of_email: 1, of_address: 1, of_both: 0 });
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert_eq!(tx.purge_login_failures(NOW + Duration::from_secs(1)).await.unwrap(), 2);
    tx.commit().await.unwrap();
    assert_eq!(count(NOW).await.unwrap(), none);
}
