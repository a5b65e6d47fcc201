//! The configuration as a whole: what wins, what is refused, and what the refusal says.

use std::{fs, time::Duration};

use narrowgate_coap::SlowRadio;
use narrowgate_dtls::CipherSuite;

use super::{accept::Accept as _, *};
use crate::failure::Exit;

fn load(file: &str, variables: &[(&str, &str)], server: &ServerArgs) -> Result<Config, Failure> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("narrowgate.toml"), file).unwrap();
    let global = GlobalArgs { data: directory.path().to_owned(), config: None, output: None };
    Config::load_with(&global, server, &|variable| {
        variables.iter().find(|(name, _)| *name == variable).map(|(_, text)| OsString::from(text))
    })
}

#[test]
fn the_defaults_are_valid() {
    let config = load("", &[], &ServerArgs::default()).unwrap();
    assert_eq!(config.dtls.listen.port(), 5684);
    assert_eq!(config.dtls.suites, [CipherSuite::PskAes128Ccm8, CipherSuite::PskAes128CbcSha256]);
    assert_eq!(config.store.data_key_file, config.data.join("data.key"));
    assert_eq!(config.store.retention_days, None);
    assert!(config.dtls.shards >= 1);
    assert!(config.http.listen.unwrap().ip().is_loopback());
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = "[dtls]\nlisten = \"0.0.0.0:1\"\nshards = 1\n[session]\nidle_timeout = \"1h\"\n";
    let variables = [
        ("NARROWGATE_DTLS_LISTEN", "0.0.0.0:2"),
        ("NARROWGATE_DTLS_SHARDS", "2"),
        ("NARROWGATE_LOG_FILTER", ""),
    ];
    let server = ServerArgs { dtls: Some("0.0.0.0:3".into()), ..ServerArgs::default() };
    let config = load(file, &variables, &server).unwrap();
    assert_eq!((config.dtls.listen.port(), config.dtls.shards), (3, 2));
    assert_eq!(config.session.idle_timeout, Duration::from_secs(3600));
    assert_eq!(config.log.filter, "info");
    assert_eq!(config.values.origin(keys::find("dtls.listen").unwrap()).to_string(), "--dtls");
    assert_eq!(
        config.values.origin(keys::find("dtls.shards").unwrap()).to_string(),
        "NARROWGATE_DTLS_SHARDS"
    );
    assert!(
        config
            .values
            .origin(keys::find("session.idle_timeout").unwrap())
            .to_string()
            .ends_with("narrowgate.toml line 5")
    );
    assert_eq!(*config.values.origin(keys::find("log.filter").unwrap()), Origin::Default);
}

#[test]
fn the_lifetime_of_a_handshake_follows_its_timers_unless_it_is_set() {
    let lifetime = |file: &str| {
        let config = load(file, &[], &ServerArgs::default()).unwrap();
        let shown = config.values.all().find(|(key, _)| key.name() == "dtls.handshake_lifetime").unwrap().1;
        assert_eq!(
            accept::Time(Duration::ZERO..=Duration::MAX).parse(&shown.text),
            Ok(config.dtls.handshake_lifetime)
        );
        (shown.text.clone(), shown.origin.to_string() == "default")
    };
    assert_eq!(lifetime(""), ("60s".to_owned(), true));
    assert_eq!(lifetime("[dtls]\nretransmit_initial = \"9s\"\n"), ("243s".to_owned(), true));
    let both = "[dtls]\nretransmit_initial = \"9s\"\nhandshake_lifetime = \"60s\"\n";
    assert_eq!(lifetime(both), ("60s".to_owned(), false));
}

#[test]
fn a_wrong_value_is_told_where_it_stands() {
    let failure = load("[session]\n\nidle_timeout = 3600\n", &[], &ServerArgs::default()).unwrap_err();
    assert_eq!(failure.exit, Exit::Config);
    let text = failure.to_string();
    assert!(text.contains("narrowgate.toml line 3   (session.idle_timeout)"), "{text}");
    assert!(text.contains("\"3600\" is not a duration"), "{text}");

    let failure = load("", &[("NARROWGATE_STORE_KIND", "postgres")], &ServerArgs::default()).unwrap_err();
    assert!(failure.to_string().contains("environment NARROWGATE_STORE_KIND"), "{failure}");

    let server = ServerArgs { http: Some("8080".into()), ..ServerArgs::default() };
    let failure = load("", &[], &server).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.to_string().starts_with("error: --http is wrong"), "{failure}");
}

#[test]
fn suites_are_chosen_by_name_in_order() {
    let file = "[dtls]\nsuites = [\"TLS_PSK_WITH_AES_128_CBC_SHA256\"]\n";
    let config = load(file, &[], &ServerArgs::default()).unwrap();
    assert_eq!(config.dtls.suites, [CipherSuite::PskAes128CbcSha256]);
    assert!(load("[dtls]\nsuites = []\n", &[], &ServerArgs::default()).is_err());
}

#[test]
fn a_variable_that_is_no_setting_is_noticed() {
    assert_eq!(mistyped("NARROWGATE_DTLS_LISTN"), Some(Some("dtls.listen")));
    assert_eq!(mistyped("NARROWGATE_SESION_IDLE_TIMEOUT"), Some(Some("session.idle_timeout")));
    assert_eq!(mistyped("NARROWGATE_DTLS_COLOUR"), Some(None));
    for variable in
        ["NARROWGATE_DTLS_LISTEN", "NARROWGATE_DATA", "NARROWGATE_CONFIG", "NARROWGATE_TEST_TOOLS", "PATH"]
    {
        assert_eq!(mistyped(variable), None, "{variable}");
    }
}

#[test]
fn every_key_refuses_bad_values_and_says_what_is_valid() {
    let long = "9".repeat(60);
    for key in keys::all() {
        let everywhere =
            ["\"\"", "-1", "1.5", "{ a = 1 }", "[[\"a\"]]", "2026-11-24T06:12:37Z", "\"\\u0000\"", &long];
        let scalars = ["[\"info\"]", "[\"0.0.0.0:1\"]", "[1]", "[]"];
        let scalars = if key.takes_list() { &[][..] } else { &scalars };
        for value in everywhere.iter().chain(scalars) {
            // A file may have any name that the system takes.
            if key.name() == "store.data_key_file" && ["-1", &*long].contains(value) {
                continue;
            }
            let (section, name) = key.name().split_once('.').unwrap();
            let Err(failure) = load(&format!("[{section}]\n{name} = {value}\n"), &[], &ServerArgs::default())
            else {
                panic!("{} = {value} is accepted", key.name())
            };
            assert_eq!(failure.exit, Exit::Config);
            let text = failure.to_string();
            assert!(text.contains("narrowgate.toml line 2"), "{text}");
            assert!(text.contains(key.name()) && text.contains(&key.help()), "{text}");
        }
    }
}

#[test]
fn values_out_of_range_are_told_the_range() {
    for (key, value, valid) in [
        ("dtls.shards", "257", "0 to 256"),
        ("dtls.retransmit_initial", "\"99ms\"", "100ms to 1m"),
        ("dtls.handshake_lifetime", "\"1d\"", "5s to 10m"),
        ("dtls.suites", "[\"TLS_PSK_WITH_AES_128_CCM_8\", \"TLS_PSK_WITH_AES_128_CCM_8\"]", "twice"),
        ("dtls.suites", "[]", "TLS_PSK_WITH_AES_128_CCM_8"),
        ("dtls.extended_master_secret", "true", "allow, require"),
        ("dtls.require_encrypt_then_mac", "1", "true nor false"),
        ("dtls.listen", "\"off\"", "0.0.0.0:5684"),
        ("http.listen", "\"8080\"", "127.0.0.1:8080, [::1]:8080 or off"),
        ("nbiot.ack_timeout", "\"1s\"", "2s to 1m"),
        ("nbiot.block_bytes", "500", "64, 128, 256, 512, 1024 or off"),
        ("session.idle_timeout", "\"0s\"", "1m to 365d"),
        ("session.sessions_max", "0", "1 to 100000000"),
        ("session.answer_memory", "\"1023KiB\"", "1MiB to 64GiB, or auto"),
        ("admission.lookups_max", "1000001", "1 to 1000000"),
        ("limits.device_handshakes", "\"1/10s\"", "such as 1/10s burst 20, or off"),
        ("limits.device_bytes", "\"10KiB/s burst 1KiB\"", "burst 16KiB to 1GiB"),
        ("limits.message_bytes", "\"1023B\"", "1KiB to 64KiB"),
        ("limits.message_bytes", "\"65KiB\"", "1KiB to 64KiB"),
        ("limits.message_bytes", "\"off\"", "is not a size"),
        ("limits.device_commands", "0", "1 to 1000"),
        ("limits.device_commands", "1001", "1 to 1000"),
        ("store.firmware", "\"1025MiB\"", "1KiB to 1GiB"),
        ("store.cache", "\"64MB\"", "64MiB"),
        ("store.cache", "\"0B\"", "1MiB to 64GiB"),
        ("store.retention", "\"4294967297d\"", "1d to 36500d"),
        ("store.data_key_file", "\"registry.db\"", "another name"),
        ("log.filter", "\"verbose\"", "off, error, warn, info, debug, trace"),
    ] {
        let (section, name) = key.split_once('.').unwrap();
        let failure =
            load(&format!("[{section}]\n{name} = {value}\n"), &[], &ServerArgs::default()).unwrap_err();
        assert!(failure.to_string().contains(valid), "{failure}");
    }
}

#[test]
fn limits_of_messages_and_commands_have_defaults_and_are_read() {
    let limits = |file: &str, variables: &[(&str, &str)]| {
        let limits = load(file, variables, &ServerArgs::default()).unwrap().limits;
        (limits.message.bytes(), limits.device_commands)
    };
    assert_eq!(limits("", &[]), (10_240, 50));
    let file = "[limits]\nmessage_bytes = \"8KiB\"\ndevice_commands = 3\n";
    assert_eq!(limits(file, &[]), (8192, 3));
    let variables =
        [("NARROWGATE_LIMITS_MESSAGE_BYTES", "64KiB"), ("NARROWGATE_LIMITS_DEVICE_COMMANDS", "1000")];
    assert_eq!(limits(file, &variables), (65_536, 1000));
}

#[test]
fn the_empty_acknowledgement_of_nbiot_follows_its_first_timer_unless_it_is_set() {
    let nbiot = |file: &str| {
        let config = load(file, &[], &ServerArgs::default()).unwrap();
        let shown = config.values.all().find(|(key, _)| key.name() == "nbiot.empty_ack_after").unwrap().1;
        (config.nbiot, shown.text.clone())
    };
    assert_eq!(nbiot(""), (SlowRadio::default(), "6s".to_owned()));
    let ms = Duration::from_millis;
    let (slower, shown) = nbiot("[nbiot]\nack_timeout = \"4s\"\nblock_bytes = \"off\"\n");
    let expected =
        SlowRadio { ack_timeout: ms(4000), separate_after: slower.separate_after, block_bytes: None };
    assert_eq!((slower, &*shown), (expected, "2666ms"));
    let (set, _) = nbiot("[nbiot]\nempty_ack_after = \"1s\"\nblock_bytes = 64\n");
    assert_eq!((set.ack_timeout, set.separate_after, set.block_bytes), (ms(9000), ms(1000), Some(64)));
}

#[test]
fn values_that_have_no_effect_together_are_refused() {
    let file = "[dtls]\nretransmit_initial = \"9s\"\nhandshake_lifetime = \"9s\"\n";
    let failure = load(file, &[], &ServerArgs::default()).unwrap_err();
    assert_eq!(failure.exit, Exit::Config);
    let text = failure.to_string();
    assert!(text.contains("line 2   (dtls.retransmit_initial)"), "{text}");
    assert!(text.contains("not shorter than dtls.handshake_lifetime, \"9s\""), "{text}");

    let memory = "[store]\nkind = \"memory\"\n";
    let ccm = "[dtls]\nsuites = [\"TLS_PSK_WITH_AES_128_CCM_8\"]\n";
    let few = "[admission]\nhandshakes_max = 10\n";
    for alone in [memory, ccm, few, "[dtls]\nrequire_encrypt_then_mac = true\n"] {
        assert!(load(alone, &[], &ServerArgs::default()).is_ok(), "{alone}");
    }
    let etm = "[dtls]\nrequire_encrypt_then_mac = true\nsuites = [\"TLS_PSK_WITH_AES_128_CBC_SHA256\"]\n";
    assert!(load(etm, &[], &ServerArgs::default()).is_ok());
    let slow = "[nbiot]\nack_timeout = \"5s\"\n";
    for (file, line, key, reason) in [
        (slow, "empty_ack_after = \"5s\"", "nbiot.empty_ack_after", "not shorter than nbiot.ack_timeout"),
        (memory, "retention = \"400d\"", "store.retention", "store.kind is memory"),
        (memory, "cache = \"2MiB\"", "store.cache", "store.kind is memory"),
        (memory, "data_key_file = \"k\"", "store.data_key_file", "store.kind is memory"),
        (ccm, "require_encrypt_then_mac = true", "dtls.require_encrypt_then_mac", "no suite with CBC"),
        (
            few,
            "handshakes_per_address_max = 11",
            "admission.handshakes_per_address_max",
            "more than admission.handshakes_max, \"10\"",
        ),
    ] {
        let failure = load(&format!("{file}{line}\n"), &[], &ServerArgs::default()).unwrap_err();
        assert_eq!(failure.exit, Exit::Config, "{line}");
        let text = failure.to_string();
        assert!(text.contains(&format!("line 3   ({key})")) && text.contains(reason), "{text}");
    }
    let variables = [("NARROWGATE_STORE_KIND", "memory"), ("NARROWGATE_STORE_RETENTION", "400d")];
    let text = load("", &variables, &ServerArgs::default()).unwrap_err().to_string();
    assert!(text.contains("environment NARROWGATE_STORE_RETENTION"), "{text}");
}

#[test]
fn what_depends_on_the_flags_of_a_server_is_refused_only_where_one_starts() {
    let small = "[session]\nanswer_memory = \"1MiB\"\n[dtls]\nshards = 1\n[limits]\n";
    let same = "[dtls]\nlisten = \"127.0.0.1:5683\"\n[coap]\nlisten = \"127.0.0.1:5683\"\n";
    let plain = ServerArgs { coap: Some("127.0.0.1:5683".to_owned()), ..ServerArgs::default() };
    let other = ServerArgs { coap: Some("127.0.0.1:5690".to_owned()), ..ServerArgs::default() };
    let two = ServerArgs { shards: Some("2".to_owned()), ..ServerArgs::default() };
    let none = ServerArgs::default();
    let too_much = "too much for session.answer_memory, \"1MiB\": 16 such messages";
    for (file, flags, refused) in [
        (format!("{small}message_bytes = \"7KiB\"\n"), &none, None),
        (format!("{small}message_bytes = \"8KiB\"\n"), &none, Some(("limits.message_bytes", too_much))),
        (format!("{small}message_bytes = \"4KiB\"\n"), &two, Some(("limits.message_bytes", too_much))),
        (format!("{small}message_bytes = \"4KiB\"\n"), &plain, Some(("limits.message_bytes", too_much))),
        (small.to_owned(), &none, None),
        ("[coap]\nlogins_max = 5\n".to_owned(), &none, Some(("coap.logins_max", "coap.listen is off"))),
        ("[coap]\nlogins_max = 5\n".to_owned(), &plain, None),
        (
            "[coap]\nfresh_logins = true\n".to_owned(),
            &none,
            Some(("coap.fresh_logins", "coap.listen is off")),
        ),
        ("[coap]\nfresh_logins = true\n".to_owned(), &plain, None),
        (same.to_owned(), &none, Some(("coap.listen", "is where DTLS listens"))),
        (same.to_owned(), &other, None),
    ] {
        let config = load(&file, &[], flags).unwrap_or_else(|failure| panic!("{file}: {failure}"));
        let found = config.check_server().map_err(|failure| (failure.exit, failure.to_string()));
        match (found, refused) {
            (Ok(()), None) => {}
            (Err((Exit::Config, text)), Some((key, reason))) => {
                assert!(text.contains(&format!("({key})")) && text.contains(reason), "{text}");
            }
            (found, _) => panic!("{file}: {found:?}"),
        }
    }
}

#[test]
fn http_can_be_switched_off() {
    let server = ServerArgs { http: Some("off".into()), ..ServerArgs::default() };
    assert_eq!(load("", &[], &server).unwrap().http.listen, None);
    assert_eq!(load("[http]\nlisten = \"off\"\n", &[], &ServerArgs::default()).unwrap().http.listen, None);
}

#[test]
fn attack_187_http_is_beyond_the_machine_only_where_somebody_says_that_a_proxy_is_in_front() {
    let flags = |http: &str, http_behind_proxy| {
        let http = Some(http.to_owned());
        ServerArgs { http, http_behind_proxy, ..ServerArgs::default() }
    };
    let check = |flags: &ServerArgs| load("", &[], flags).unwrap().check_server();
    for address in ["127.0.0.1:8080", "[::1]:8080", "off"] {
        assert!(check(&flags(address, false)).is_ok(), "{address}");
    }
    for address in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"] {
        let text = check(&flags(address, false)).unwrap_err().to_string();
        assert!(text.contains("HTTP has no TLS") && text.contains("--http-behind-proxy"), "{text}");
        assert!(check(&flags(address, true)).is_ok(), "{address}");
    }
    let file = "[http]\nlisten = \"0.0.0.0:8080\"\n";
    // There are no such files; else it may.
    let by_tls = format!("{file}tls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n");
    let failure = load(&by_tls, &[], &ServerArgs::default()).unwrap().check_server().unwrap_err();
    assert_eq!((failure.exit, failure.headline.as_str()), (Exit::Config, "HTTPS cannot be served"));
    let off = ServerArgs { http: Some("off".into()), ..ServerArgs::default() };
    let text = load(&by_tls, &[], &off).unwrap().check_server().unwrap_err().to_string();
    assert!(text.contains("http.tls_certificate") && text.contains("http.listen is off"), "{text}");
    for (alone, missing) in [("tls_certificate", "http.tls_key"), ("tls_key", "http.tls_certificate")] {
        let text = load(&format!("[http]\n{alone} = \"x.pem\"\n"), &[], &ServerArgs::default());
        let text = text.unwrap_err().to_string();
        assert!(text.contains(&format!("needs {missing} beside it")), "{text}");
    }
    assert!(load(file, &[], &ServerArgs::default()).unwrap().check_server().is_err());
    let file = format!("{file}behind_proxy = true\n");
    assert!(load(&file, &[], &ServerArgs::default()).unwrap().check_server().is_ok());
}

#[test]
fn an_empty_variable_names_no_file_and_a_dangling_link_is_one() {
    assert!(load("", &[("NARROWGATE_CONFIG", "")], &ServerArgs::default()).is_ok());
    assert!(load("", &[("NARROWGATE_CONFIG", "/nowhere/n.toml")], &ServerArgs::default()).is_err());
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nowhere/n.toml", directory.path().join("narrowgate.toml")).unwrap();
    let global = GlobalArgs { data: directory.path().to_owned(), config: None, output: None };
    assert!(Config::load_with(&global, &ServerArgs::default(), &|_| None).is_err());
}

#[test]
fn a_configuration_file_that_was_named_must_exist() {
    let global = GlobalArgs { data: "x".into(), config: Some("/nowhere/n.toml".into()), output: None };
    let failure = Config::load_with(&global, &ServerArgs::default(), &|_| None).unwrap_err();
    assert_eq!(failure.exit, Exit::Config);
    assert!(failure.to_string().contains("/nowhere/n.toml"), "{failure}");
}

#[test]
fn the_table_in_the_documents_is_what_is_declared() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md");
    let page = fs::read_to_string(page).unwrap();
    let rows: Vec<&str> = page
        .lines()
        .skip_while(|line| *line != "| setting | default | what it does |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let declared: Vec<String> = keys::all()
        .map(|key| {
            let default = key.default().replace(',', "`, `");
            format!("| `{}` | `{default}` | {} |", key.name(), key.help())
        })
        .collect();
    assert_eq!(rows, declared, "docs/operating.md, Configuration");
}

#[test]
fn a_login_by_a_provider_needs_to_know_where_browsers_come_back_and_nothing_is_set_for_none() {
    let load = |text: &str| load(text, &[], &ServerArgs::default());
    let site = "[http]\npublic_url = \"https://gate.example\"\n";
    let roles = "roles = [\"a=viewer\", \"*=operator@n\"]";
    let whole = format!("{site}[oidc]\nissuer = \"https://login.example\"\n{roles}");
    let config = load(&whole).unwrap();
    assert_eq!(config.oidc.issuer.as_deref(), Some("https://login.example"));
    assert!(config.oidc.passwords && config.oidc.logins(&config.http).unwrap().provider.is_some());
    let none = load("").unwrap();
    assert!(none.oidc.logins(&none.http).unwrap().provider.is_none());
    for (text, reason) in [
        ("[oidc]\nissuer = \"https://login.example\"".to_owned(), "needs http.public_url"),
        ("[oidc]\npasswords = false".to_owned(), "has no effect: oidc.issuer is off"),
        (format!("{site}[oidc]\nissuer = \"https://gate.example/\""), "it is no provider itself"),
        (
            "[http]\npublic_url = \"http://gate\"\nbehind_proxy = true\n\
             [oidc]\nissuer = \"https://h\""
                .to_owned(),
            "is not https://",
        ),
        (
            "[http]\npublic_url = \"http://gate.example\"\n[oidc]\nissuer = \"https://h\"".to_owned(),
            "has no TLS, and is not this machine",
        ),
    ] {
        let refused = load(&text).unwrap_err();
        assert!(refused.to_string().contains(reason), "{text}: {refused}");
    }
    let off = load(&format!("{site}listen = \"off\"\n[oidc]\nissuer = \"https://h\"")).unwrap();
    let refused = off.check_server().unwrap_err().to_string();
    assert!(refused.contains("oidc.issuer") && refused.contains("http.listen is off"), "{refused}");
}

#[test]
fn the_secret_for_a_provider_is_one_line_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let text = format!(
        "[http]\npublic_url = \"https://gate.example\"\n[oidc]\nissuer = \"https://login.example\"\n\
         client_secret_file = {file:?}\n"
    );
    let config = load(&text, &[], &ServerArgs::default()).unwrap();
    let logins = || config.oidc.logins(&config.http);
    assert!(logins().unwrap_err().to_string().contains("oidc.client_secret_file"));
    for (content, is_good) in [("s3\n", true), ("s3", true), ("", false), ("\n", false), ("a\nb\n", false)] {
        fs::write(&file, content).unwrap();
        assert_eq!(logins().is_ok(), is_good, "{content:?}");
    }
}
