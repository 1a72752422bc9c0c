//! One suite for every store: memory, SQLite in a file, Postgres; then what only one of them can do wrong.
//!
//! Postgres is the server of `DATABASE_URL`; each test has a database of its own there, which it drops.

mod fixtures;
mod stores;

mod audit;
mod commit;
mod definitions;
mod letters;
mod operators;
mod ownership;
mod reads;

mod constraints;
mod migrating;
mod postgres;
mod proxy;
mod sqlite;

/// Makes each of these functions a test on every store.
macro_rules! on_every_store {
    ($($module:ident: $($test:ident),+ $(,)?;)+) => {
        mod on_memory {
            $($(#[tokio::test]
            async fn $test() {
                crate::stores::on_memory(crate::$module::$test).await;
            })+)+
        }
        mod on_sqlite {
            $($(#[tokio::test]
            async fn $test() {
                crate::stores::on_sqlite(crate::$module::$test).await;
            })+)+
        }
        mod on_postgres {
            $($(#[tokio::test]
            async fn $test() {
                crate::stores::on_postgres(crate::$module::$test).await;
            })+)+
        }
    };
}

on_every_store! {
    commit:
        a_saga_comes_back_as_it_was_stored,
        a_lost_fence_changes_nothing,
        a_taken_key_changes_nothing,
        a_key_stands_for_one_saga_of_a_batch,
        a_key_wanted_twice_at_once_is_taken_once,
        a_withdrawn_request_changes_nothing,
        a_saga_stored_twice_is_refused_with_its_batch,
        a_saga_that_is_not_stored_cannot_change,
        what_a_saga_was_started_with_never_changes,
        rows_of_a_shard_have_no_gap,
        a_batch_may_be_large,
        an_empty_batch_is_stored,
        awkward_texts_are_stored;
    audit:
        requests_are_listed_newest_first_once_they_have_ended,
        a_workers_record_is_listed_too;
    definitions:
        a_definition_is_pinned_once,
        another_content_under_a_number_in_use_is_refused,
        of_two_contents_pinned_at_once_one_is_refused;
    letters:
        a_dead_letter_is_settled_once_with_its_record,
        of_many_who_claim_a_letter_one_does,
        a_claim_runs_out,
        a_letter_given_back_may_be_claimed_again,
        large_letters_make_short_pages;
    operators:
        a_request_is_pending_until_it_is_answered,
        a_withdrawn_request_is_not_pending,
        a_request_is_answered_or_withdrawn_never_both,
        a_dead_letter_is_stored_once,
        dead_letters_are_listed_newest_first;
    ownership:
        a_shard_has_one_owner,
        a_shard_wanted_by_many_is_taken_by_one,
        an_expired_lease_is_taken_over,
        a_heartbeat_renews_leases,
        a_released_shard_is_free,
        who_leaves_frees_all_shards,
        two_instances_see_each_other,
        marks_go_to_the_next_owner;
    reads:
        live_sagas_come_page_by_page,
        live_sagas_are_found_by_id_or_flag,
        rows_come_in_order_after_a_number,
        sagas_are_found_by_id,
        orders_are_listed_newest_first,
        an_unknown_saga_has_no_history;
}
