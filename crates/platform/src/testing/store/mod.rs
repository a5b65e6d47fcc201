//! What every store must do, as named checks. One line in a store's tests runs all of them:
//!
//! ```text
//! // An empty store, and what must live as long as it.
//! fn make() -> (Arc<dyn Store>, impl Sized) { … }
//! // Closes it and opens it again.
//! fn reopen(store: Arc<dyn Store>, keep: &impl Sized) -> Arc<dyn Store> { … }
//!
//! narrowgate_platform::store_conformance!(make);           // or, where it keeps something,
//! narrowgate_platform::store_conformance!(make, reopen);
//! ```
//!
//! After the named checks, [`random`] operations run on the store and on the model at once.
//!
//! Checks look only through the port, so they hold for any implementation. What a store promises beyond it
//! (durability, files, locks) is tested beside that store.

pub mod access;
pub mod activation;
pub mod buckets;
pub mod commands;
pub mod credentials;
pub mod events;
pub mod firmware;
pub mod fixtures;
pub mod fleet;
pub mod happened;
pub mod logins;
pub mod logs;
pub mod messages;
pub mod models;
pub mod pages;
pub mod presence;
pub mod properties;
pub mod purge;
pub mod random;
pub mod rates;
pub mod registry;
pub mod replay;
pub mod scripts;
pub mod search;
pub mod users;

/// Declares one `#[test]` for each check; `$make` names a function in scope that returns an empty store and a
/// guard.
#[macro_export]
macro_rules! store_conformance {
    ($make:ident) => {
        $crate::store_conformance! { @named $make }
        $crate::store_conformance! { @random {
            let (store, keep) = super::$make();
            $crate::testing::store::random::Subject::lasting(store, keep)
        } }
    };
    ($make:ident, $reopen:ident) => {
        $crate::store_conformance! { @named $make }
        $crate::store_conformance! { @random {
            let (store, keep) = super::$make();
            $crate::testing::store::random::Subject::reopening(store, keep, super::$reopen)
        } }
    };
    (@random $subject:block) => {
        mod random {
            use $crate::testing::store::random;

            fn subject() -> random::Subject $subject

            #[test]
            fn random_operations_come_to_what_the_model_says() {
                for seed in random::SEEDS {
                    random::check_seed(seed, &mut subject);
                }
            }

            #[test]
            fn operations_that_once_came_to_something_else_do_so_no_more() {
                for (name, operations) in random::regressions() {
                    random::check(name, operations, &mut subject);
                }
            }
        }
    };
    (@named $make:ident) => {
        $crate::store_conformance! { @checks $make;
            credentials {
                names_that_do_not_exist_are_told_apart
                a_look_up_gives_secrets_and_switches
                switches_show_in_the_next_look_up
                a_device_of_another_product_is_unknown
                names_of_another_case_are_found
            }
            registry {
                a_product_key_is_taken_once
                an_update_keeps_secret_unit_and_creation
                a_rotated_secret_replaces_the_product_s_and_nothing_else
                products_come_by_creation
                devices_are_created_one_by_one_and_refused_one_by_one
                an_asset_id_is_taken_once
                a_device_is_found_by_its_names_and_by_its_id
                pages_follow_each_other_without_gap_or_repetition
                lists_filter_by_product_key_state_and_switch
                a_switched_off_device_is_marked_and_logged
                a_reset_device_is_as_new_with_another_secret
                a_device_whose_secret_is_replaced_is_the_same_device
                a_deleted_device_leaves_nothing_and_its_id_is_not_used_again
                a_renamed_device_keeps_all_but_its_name
                a_deleted_product_leaves_no_device_and_its_key_is_free
                changes_of_unknown_devices_are_refused
                names_with_quotes_and_any_script_are_only_names
            }
            search {
                a_search_finds_what_all_of_its_filters_want
                a_search_knows_when_a_device_was_last_heard
                a_search_finds_tags_by_key_and_value
                attack_175_what_is_searched_for_is_only_text
                a_search_in_a_unit_finds_nothing_of_others
                a_search_goes_on_while_devices_come_and_go
                a_search_by_key_goes_on_while_devices_come_and_go
            }
            models {
                each_change_of_a_model_is_a_version
                the_model_of_a_new_product_is_its_first_version
                a_number_of_a_model_is_never_given_to_another_element
                a_product_keeps_its_newest_versions_of_a_model
                a_model_replaces_only_the_version_that_it_is_to_replace
                a_model_and_its_product_change_together
            }
            scripts {
                each_publication_of_a_script_is_a_version
                a_draft_stays_until_it_is_published
                a_script_is_rolled_back_by_a_version_of_its_own
                a_product_keeps_its_newest_scripts
            }
            access {
                a_unit_is_added_once_and_listed_by_creation
                units_and_tokens_are_limited
                a_token_is_found_by_its_hash_until_it_is_revoked
                a_product_belongs_to_a_unit_that_exists
                a_suspended_unit_suspends_its_products_and_no_others
                a_device_of_a_suspended_unit_stores_nothing_and_keeps_all
                a_unit_takes_as_many_products_and_devices_as_its_quotas_say
                reports_of_a_unit_are_counted
            }
            replay {
                a_request_is_remembered_with_its_answer
                a_request_is_forgotten_after_a_day
                requests_of_an_owner_are_bounded
            }
            users {
                a_user_is_found_by_name_and_by_link
                users_are_limited_and_belong_to_units_that_exist
                a_link_sets_a_password_once
                a_session_begins_with_the_password_that_was_given_and_is_seen
                a_session_begins_without_a_password_where_somebody_vouches
                a_change_of_a_user_ends_the_sessions_of_that_user_alone
                sessions_that_are_over_are_removed
                a_password_is_changed_by_who_knows_it
                the_last_administrator_is_spared
                one_session_too_many_ends_the_least_used_of_its_user
                a_change_of_role_or_unit_ends_the_link
            }
            presence {
                the_first_login_activates_and_the_second_does_not
                a_login_with_a_superseded_secret_changes_nothing
                a_device_that_is_switched_off_is_offline_at_once
                a_device_disabled_in_flight_is_not_logged_in
                online_again_moves_the_online_time_and_a_second_login_does_not
                silence_and_return_are_presence_changes
                the_answer_to_a_switch_says_when_the_device_was_last_heard
                a_presence_that_does_not_change_writes_nothing
                a_disabled_device_may_still_go_offline
                a_device_that_never_logged_in_has_no_presence
                seen_moves_forward_only
                online_devices_are_listed_with_their_lifetimes
                presence_history_is_newest_first_and_bounded
            }
            logins {
                an_older_login_is_refused_and_changes_nothing
                only_the_session_of_the_newest_login_writes
                nothing_of_a_session_is_stored_after_a_reset
                nothing_of_a_session_is_stored_after_its_secret_was_replaced
                what_follows_a_login_that_is_not_there_is_not_stored
                what_names_no_login_is_about_whichever_the_device_has
                places_rise_with_every_write
            }
            activation {
                a_secret_is_issued_again_and_again_until_the_login
                an_issued_secret_supersedes_the_former
                former_secrets_are_remembered_until_the_device_is_deleted
                an_activated_device_keeps_its_secret
                attack_203_a_secret_that_an_operator_has_replaced_stays
                attack_208_a_product_secret_that_was_replaced_gets_no_secret_of_a_device
                nothing_is_issued_while_dynamic_activation_is_off_or_over
                nothing_is_issued_to_missing_or_disabled_devices
                the_quota_counts_per_product_and_hour
                a_refusal_is_logged_with_the_words_that_listeners_get
            }
            messages {
                latest_values_are_merged_point_by_point
                an_older_report_does_not_replace_a_newer_value
                resumed_reports_are_history_only
                history_is_newest_first_within_its_bounds
                history_finds_reports_that_arrived_days_late
                history_of_one_point_skips_the_others
                reports_of_missing_and_disabled_devices_are_not_stored
                a_batch_is_applied_in_order
                a_report_moves_the_time_last_seen
                values_come_back_as_they_were_sent
            }
            buckets {
                buckets_hold_what_their_values_come_to
                buckets_keep_to_the_span_that_is_asked_for
                pages_of_buckets_lose_and_repeat_nothing
            }
            events {
                events_are_read_by_time_and_are_no_points
                events_are_found_by_span_and_identifier
                pages_of_events_lose_and_repeat_nothing
            }
            properties {
                a_device_begins_with_its_first_tags_and_attributes
                attributes_and_tags_are_set_and_deleted_by_name
                more_than_is_kept_of_a_device_is_refused
                a_change_of_a_superseded_session_is_not_stored
                an_operator_changes_or_replaces_them
                a_change_of_what_is_expected_changes_nothing_else
                changes_by_operators_push_out_changes_and_nothing_else
                a_deleted_device_leaves_no_attributes_and_tags
            }
            logs {
                a_log_is_newest_first_and_complete
                a_log_keeps_its_newest_entries
                refusals_push_out_refusals_and_nothing_else
                a_log_of_refusals_and_others_keeps_its_order
                refusals_of_known_and_unknown_devices_come_together
                refusals_of_unknown_devices_are_bounded
                a_closed_store_refuses
            }
            pages {
                pages_of_history_lose_and_repeat_nothing
                pages_of_history_stand_while_reports_come
                a_page_of_history_may_end_inside_a_report
                pages_of_a_log_lose_and_repeat_nothing
                pages_of_refusals_lose_and_repeat_nothing
            }
            commands {
                a_command_goes_its_way_and_is_kept
                what_is_expected_of_a_command_is_kept
                a_command_is_sent_only_where_the_rules_permit_it
                a_device_has_fifty_open_commands_and_no_more
                commands_whose_time_is_over_make_room
                instant_commands_that_are_over_make_room
                pages_of_commands_with_long_replies_are_short
                open_commands_come_in_their_order_and_are_taken_up_at_a_start
                commands_that_are_taken_back_are_not_fetched
                a_superseded_login_neither_fetches_nor_answers
                a_step_that_is_not_permitted_changes_nothing
                a_command_is_over_when_its_time_is
                a_device_that_is_switched_off_loses_the_commands_that_wait
                a_reset_device_gets_none_of_its_commands_and_a_deleted_one_leaves_none
                an_id_far_ahead_of_the_clock_is_forgotten_with_its_device
                old_commands_go_when_a_new_one_is_sent_and_no_id_comes_twice
                old_replies_go_where_they_have_too_many_bytes
                a_reply_that_comes_late_outlives_those_that_came_before_it
                pages_of_commands_lose_and_repeat_nothing
                texts_of_commands_come_back_as_they_were_sent
                a_command_whose_bytes_nobody_takes_any_more_fails
            }
            happened {
                what_happens_is_told_in_the_order_of_the_commits
                pages_of_what_happened_lose_and_repeat_nothing
                what_comes_later_is_read_from_where_a_reader_stands
                what_is_refused_is_not_told
                a_place_that_was_never_reached_is_unknown
                a_purged_device_is_told_of_no_more
            }
            purge {
                a_purged_device_leaves_nothing_of_what_it_sent
                a_purge_goes_in_steps_between_which_others_report
                what_a_device_sends_during_its_purge_goes_too
                an_unknown_device_is_not_purged
            }
            firmware {
                an_image_is_added_once_and_found
                a_product_has_so_many_images_and_no_more
                an_offer_goes_all_the_way_through_the_queue_of_commands
                a_share_grows_and_keeps_who_was_in
                an_offer_of_what_is_not_there_changes_nothing
                a_rollout_pauses_itself_and_takes_back_what_nobody_has_fetched
                a_command_that_is_over_is_sent_again_and_one_that_is_taken_back_is_not
                a_newer_offer_takes_back_an_older_one_and_waits_for_one_under_way
                the_end_of_an_upgrade_takes_back_a_command_that_was_not_answered
                a_device_that_is_stopped_has_no_upgrade_under_way
                a_device_that_cannot_get_it_now_waits
                an_offer_that_cannot_be_encoded_has_failed
                who_begins_and_is_silent_has_failed
                an_image_goes_when_nobody_needs_it
                a_deleted_device_leaves_no_upgrade_and_a_deleted_product_no_image
                a_superseded_session_moves_no_upgrade
            }
            rates {
                counts_of_a_minute_are_added_up_for_all_and_for_units
                a_clock_that_leaps_ahead_forgets_no_counts
                counts_of_a_day_are_kept
            }
            fleet {
                devices_are_counted_by_state_and_product
                refusals_and_reports_of_late_are_counted
                reports_of_a_deleted_device_are_counted
            }
        }
    };
    (@checks $make:ident; $($group:ident { $($check:ident)+ })+) => {
        $(mod $group {
            $(#[test]
            fn $check() {
                let (store, _keep) = super::$make();
                $crate::testing::store::$group::$check(store.as_ref());
            })+
        })+
    };
}
