//! The tables as diesel sees them; the same on SQLite and PostgreSQL. `migrations/` makes them.

diesel::table! {
    installation (only_row) {
        only_row -> Integer,
        id -> Text,
    }
}

diesel::table! {
    users (name) {
        name -> Text,
        password_hash -> Nullable<Text>,
        is_superuser -> Bool,
        is_active -> Bool,
        access_to_webservice -> Bool,
        access_to_logging -> Bool,
    }
}

diesel::table! {
    tokens (id) {
        id -> BigInt,
        user_name -> Text,
        token_hash -> Text,
        label -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    services (sequence) {
        sequence -> BigInt,
        credential -> Text,
        server_name -> Text,
        start_id -> Text,
        object_id -> Text,
        service -> Text,
        user_options -> Text,
        jhub_user_id -> BigInt,
        start_date -> BigInt,
        namespace -> Text,
        state -> Text,
        objects -> Text,
        update_manifest -> Nullable<Text>,
        details -> Nullable<Text>,
        ended_at -> Nullable<BigInt>,
        is_adopted -> Bool,
        flavor -> Nullable<Text>,
        ends_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    log_handlers (sequence) {
        sequence -> BigInt,
        handler -> Text,
        configuration -> Text,
    }
}

diesel::table! {
    user_jobs (sequence) {
        sequence -> BigInt,
        credential -> Text,
        service -> Text,
        hostname -> Text,
        target_node -> Text,
        ports -> Text,
        state -> Text,
        owner -> Nullable<BigInt>,
        token -> Text,
        service_uid -> Nullable<Text>,
        problem -> Nullable<Text>,
    }
}

diesel::table! {
    awaited_starts (sequence) {
        sequence -> BigInt,
    }
}

diesel::table! {
    restart_notices (hub) {
        hub -> Text,
        owed -> BigInt,
    }
}

diesel::joinable!(tokens -> users (user_name));
diesel::allow_tables_to_appear_in_same_query!(users, tokens, services);
diesel::allow_tables_to_appear_in_same_query!(installation, services);
diesel::allow_tables_to_appear_in_same_query!(users, user_jobs);
