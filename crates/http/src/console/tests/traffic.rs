//! Reports and refusals over time, the page of refusals, and the data of a device.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_was_offered_what_is_expected_and_what_to_do() {
    let world = world(None).await;
    world.furnish().await;
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console/refusals").await;
    for said in ["Refusals by reason over 24 hours", "chart-bars", "wrong key", "192.0.2.1", "pk-1/dk-1"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("The probable mistake"), "nothing is open");
    let open = page.split_once("open=").and_then(|(_, rest)| rest.split_once('#')).expect("a row opens").0;
    let page = opened(&mut ann, &format!("/console/refusals?reason=wrong_key&open={open}")).await;
    for said in [
        "The probable mistake",
        "the product&#39;s secret was used",
        "pk-1,dk-1,2,300",
        "/console/devices/pk-1/dk-1",
        "copy the key from the page of the device",
    ] {
        let plain = said.replace("&#39;", "'");
        assert!(page.contains(said) || page.contains(&plain), "{said}: {page}");
    }
    // What is known of the mistake is more than what is said of every wrong key.
    world.clock.advance_ms(1000);
    world.note_refusal_with("dk-1", "the key is the secret itself; hash it first").await;
    let page = opened(&mut ann, "/console/refusals").await;
    let open = page.split_once("open=").and_then(|(_, rest)| rest.split_once('#')).expect("a row opens").0;
    let page = opened(&mut ann, &format!("/console/refusals?open={open}")).await;
    for said in ["the key is the secret itself", "hash it first"] {
        assert!(page.contains(&format!("<span lang=\"en\">{said}</span>")), "{said}: {page}");
    }
    let page = opened(&mut ann, "/console/refusals?reason=too_large").await;
    assert!(page.contains("None of these refusals matches the filters."), "{page}");
    // Of another unit there is nothing, and no figure either.
    let mut north = visitor(&world, "nora", Role::Viewer, Some("north")).await;
    let page = opened(&mut north, "/console/refusals").await;
    assert!(page.contains("Nothing was refused") && !page.contains("dk-1"), "{page}");
    assert!(page.contains(">Show the devices</a>"), "and where to look instead: {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_a_device_is_drawn_and_stands_below_and_can_be_taken() {
    let world = world(None).await;
    world.furnish().await;
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let path = "/console/devices/pk-1/dk-1/data";
    let page = opened(&mut ann, path).await;
    for said in ["data-charts", "chart-line", ">temp<", "21.5", "aria-current=\"page\"", "24 hours"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // Its address has the time: what is linked is what the other one sees.
    let page = opened(&mut ann, &format!("{path}?from=1699999000000&to=1699999500000")).await;
    assert!(page.contains("Nothing was reported in this time."), "{page}");
    for broken in ["?from=x&to=y", "?last=9y", "?from=5&to=1", "?from=-9e9&to=99999999999999999"] {
        opened(&mut ann, &format!("{path}{broken}")).await;
    }
    let range = "from=1699990000000&to=1700001000000";
    let csv = ann.get(&format!("{path}/export?format=csv&{range}")).await;
    let kind = csv.headers[header::CONTENT_TYPE].to_str().expect("it is ASCII").to_owned();
    assert!(kind.starts_with("text/csv"), "{kind}");
    let name = csv.headers[header::CONTENT_DISPOSITION].to_str().expect("it is ASCII").to_owned();
    assert_eq!(name, "attachment; filename=\"pk-1-dk-1.csv\"");
    assert_eq!(csv.body, "time,point,value,quality\r\n1700000000000,temp,21.5,\r\n");
    let lines = ann.get(&format!("{path}/export?format=ndjson&{range}")).await;
    assert_eq!(lines.body, "{\"point\":\"temp\",\"value\":21.5,\"time\":1700000000000}\n");
    let mut north = visitor(&world, "nora", Role::Viewer, Some("north")).await;
    assert_eq!(north.get(path).await.status, 404);
    assert_eq!(north.get(&format!("{path}/export?{range}")).await.status, 404);
}

/// Six points with as many values as are drawn, and names and values that take much room.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_much_data_is_as_short_as_any() {
    let world = world(None).await;
    world.furnish().await;
    let points = |n: i64| {
        let value = |digits: i64| format!("{}.{digits}{}", n * 7919 % 100_000 - 50_000, n % 997);
        format!(
            r#"{{"a":{},"b":{},"c":{},"d":{},"e":{},"f\"<&'":"{}"}}"#,
            value(1),
            value(22),
            value(333),
            value(4444),
            value(55555),
            "<&\"'".repeat(20 + (n % 8).unsigned_abs() as usize),
        )
        .replace("<&\"'", "<&\\\"'")
    };
    world.report_often((0..900).map(|n| (n * 90_000, points(n)))).await;
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console/devices/pk-1/dk-1/data").await;
    assert_eq!(page.matches("<svg").count(), 6, "{page}");
    assert!(page.len() < 100_000, "{} bytes", page.len());
}

/// A report a minute: were there as many all the time, those of a month would be too many to be read.
#[tokio::test(flavor = "multi_thread")]
async fn of_very_many_values_the_last_of_each_bucket_is_drawn() {
    let world = world(None).await;
    world.furnish().await;
    let points = |n: i64| format!(r#"{{"a":{n},"b":{},"state":"on"}}"#, 20_000 - n);
    world.report_often((0..900).map(|n| (n * 60_000, points(n)))).await;
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let path = "/console/devices/pk-1/dk-1/data";
    let day = opened(&mut ann, &format!("{path}?last=24h")).await;
    assert!(day.contains("900 values from 0 to 899") && !day.contains("very many values"), "{day}");
    let month = opened(&mut ann, &format!("{path}?last=30d")).await;
    let said = "the last one of each 4 hours is drawn, from 0 to";
    assert!(month.contains(said) && month.matches("chart-line").count() >= 2, "{month}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_has_the_reports_of_a_day() {
    let world = world(None).await;
    world.furnish().await;
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console").await;
    assert!(page.contains("chart-spark") && page.contains("Reports per minute over 24 hours"), "{page}");
}

/// Names that the API has for secrets are names like others in what a device sends.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_calls_a_line_or_a_link_is_shown_as_any_value() {
    let world = world(None).await;
    world.furnish().await;
    let point = |n: i64| {
        let padding = "x".repeat(usize::try_from(n).expect("it is small") * 5);
        (n * 1000, format!(r#"{{"m":{{"a":"{padding}","line":"y","pskHex":"z","link":"w"}}}}"#))
    };
    world.report_often((0..50).map(point)).await;
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console/devices/pk-1/dk-1/data").await;
    assert!(!page.contains("shown-"), "{page}");
    assert!(page.contains("&quot;line&quot;:&quot;y&quot;"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_there_where_the_counts_of_the_day_cannot_be_read() {
    let world = world(None).await;
    world.furnish().await;
    world.damage_counts();
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console/refusals").await;
    for said in ["counts of the day cannot be read now", "wrong key", "pk-1/dk-1"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    for (name, ou) in [("olga", None), ("nora", Some("north"))] {
        let mut browser = visitor(&world, name, Role::Viewer, ou).await;
        let page = opened(&mut browser, "/console").await;
        assert!(page.contains("counts of the day cannot be read now"), "{name}: {page}");
    }
}
