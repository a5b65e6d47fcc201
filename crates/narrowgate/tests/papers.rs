//! The papers themselves: a page says a thing once, and its links lead somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// README, ARCHITECTURE and what lies in `docs/`, with their text outside of code.
fn pages() -> Vec<(PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).expect("the tree has docs");
    let mut pages: Vec<PathBuf> = docs.map(|entry| entry.expect("a readable entry").path()).collect();
    // The pictures have a folder of their own.
    pages.retain(|page| page.is_file());
    pages.extend([root.join("README.md"), root.join("ARCHITECTURE.md")]);
    pages.into_iter().map(|page| (page.clone(), prose(&page))).collect()
}

fn prose(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a readable page");
    let mut code = false;
    let outside = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    };
    text.lines().filter(outside).map(str::to_owned).collect()
}

/// The name of a heading in a link, as the usual readers make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

fn anchors(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| line.starts_with('#')).map(|line| anchor(line)).collect()
}

#[test]
fn a_page_has_each_heading_and_each_row_once() {
    for (page, lines) in pages() {
        let mut seen = BTreeSet::new();
        for line in
            lines.iter().filter(|line| line.starts_with('#') || line.len() > 60 && line.starts_with('|'))
        {
            assert!(seen.insert(line), "{} says twice: {line}", page.display());
        }
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for (page, lines) in pages() {
        let text = lines.join("\n");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let other = match file {
                "" => page.clone(),
                file => page.parent().expect("a page lies in a folder").join(file),
            };
            assert!(other.exists(), "{} links to {target}", page.display());
            let known = heading.is_empty() || anchors(&prose(&other)).iter().any(|known| known == heading);
            assert!(known, "{} links to {target}, and there is no such heading", page.display());
        }
    }
}

/// The stations of the walks in ARCHITECTURE.md: a file and a function.
fn stations(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains("| `crates/"));
    rows.filter_map(|row| {
        let mut quoted = row.split('`').skip(1).step_by(2);
        Some((quoted.next()?, quoted.next()?))
    })
    .collect()
}

#[test]
fn each_station_of_a_walk_stands_where_the_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("a readable page");
    let stations = stations(&page);
    assert!(stations.len() >= 20, "the walks have {} stations", stations.len());
    for (file, function) in stations {
        let source = fs::read_to_string(root.join(file)).unwrap_or_else(|_| panic!("there is no {file}"));
        let declared = [format!("fn {function}("), format!("fn {function}<")];
        assert!(declared.iter().any(|head| source.contains(head)), "{file} has no function {function}");
    }
}

#[test]
fn each_alert_has_its_paragraph() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read =
        |file: &str| fs::read_to_string(root.join(file)).unwrap_or_else(|_| panic!("there is no {file}"));
    let (rules, page) = (read("deploy/prometheus/alerts.yml"), read("docs/operating.md"));
    let explained: Vec<(String, bool)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `Narrowgate")?.split_once("` | "))
        .map(|(name, text)| (format!("Narrowgate{name}"), text.starts_with("critical. ")))
        .collect();
    let blocks: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    let alerts: Vec<(String, bool)> = blocks
        .iter()
        .map(|block| {
            let name = block.lines().next().unwrap_or_default().to_owned();
            (name, block.contains("severity: critical"))
        })
        .collect();
    assert!(alerts.len() >= 15, "there are {} alerts", alerts.len());
    assert_eq!(
        explained, alerts,
        "What each alert means, in docs/operating.md: those of the rules in their order, the same critical"
    );
}
