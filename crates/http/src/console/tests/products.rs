//! The pages of products.

use narrowgate_api::{device::NewDeviceRequest, product::NewProduct};

use super::*;

const PRODUCT: &str = "/console/products/pk-1";

/// What no page may show as it is.
const HOSTILE: &str = "<script>alert(1)</script>\"'&";

async fn product(world: &World, key: &str, name: &str, ou: Option<&str>) {
    let new = NewProduct {
        name: name.into(),
        product_key: Some(key.into()),
        ou: ou.map(str::to_owned),
        ..NewProduct::default()
    };
    world.operator.create_product(new).await.expect("it is new");
}

/// The value of a hidden field of the first form that has it.
pub(super) fn field(page: &str, name: &str) -> String {
    let begin = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&begin).expect("there is the field");
    rest.split_once('"').expect("it ends").0.replace("&quot;", "\"").replace("&amp;", "&")
}

/// A text as a form sends it.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_products_is_searched_and_has_pages() {
    let world = world(None).await;
    product(&world, "a/b..", HOSTILE, Some("north")).await;
    for number in 0..60 {
        product(&world, &format!("many-{number}"), &format!("meter {number}"), None).await;
    }
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console/products").await;
    assert!(page.contains("62 products") && page.matches("data-row").count() == 50, "{page}");
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("/console/new-product"), "a viewer creates none");
    let second = opened(&mut ann, "/console/products?from=50").await;
    assert!(second.matches("data-row").count() == 12 && second.contains("First page"), "{second}");
    let found = opened(&mut ann, "/console/products?q=METER%205").await;
    assert_eq!(found.matches("data-row").count(), 11, "5 and 50 to 59");
    for nothing in ["?q=%3Cscript%3Enone", "?from=99999999999999999999&q=none", "?from=-1&q=%22%3E"] {
        let page = opened(&mut ann, &format!("/console/products{nothing}")).await;
        assert!(page.contains("No product matches") && !page.contains("<script>none"), "{page}");
    }
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    let page = opened(&mut nora, "/console/products").await;
    assert!(page.matches("data-row").count() == 1 && page.contains("/console/new-product"), "{page}");
    let mut sven = visitor(&world, "sven", Role::Administrator, Some("south")).await;
    assert!(opened(&mut sven, "/console/products").await.contains("Create the first product"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_product_offers_what_the_role_may() {
    let world = world(None).await;
    for (name, role, is_administrator) in
        [("vera", Role::Viewer, false), ("otto", Role::Operator, false), ("ada", Role::Administrator, true)]
    {
        let mut browser = visitor(&world, name, role, None).await;
        let page = opened(&mut browser, PRODUCT).await;
        assert!(page.contains("1 device<") && page.contains("?product=pk-1&amp;state=inactive"), "{page}");
        for act in ["/settings\"", "/activation\"", "/disable\"", "/delete\"", "/rotate\"", "/secret\""] {
            assert_eq!(page.contains(&format!("{PRODUCT}{act}")), is_administrator, "{name} {act}");
        }
        for path in ["disable", "rotate", "delete"] {
            let asked = browser.get(&format!("{PRODUCT}/{path}")).await;
            assert_eq!(asked.status, if is_administrator { 200 } else { 403 }, "{name} {path}");
            is_sound(&asked, path);
        }
        if !is_administrator {
            for path in ["settings", "activation", "enable", "disable", "rotate", "delete", "secret"] {
                let path = format!("{PRODUCT}/{path}");
                let sent = sent(&mut browser, &path, "typed=pk-1&name=x").await;
                assert_eq!(sent.status, 403, "{name} {path}: {}", sent.body);
            }
            assert_eq!(browser.get("/console/new-product").await.status, 403);
            assert_eq!(sent(&mut browser, "/console/new-product", "name=x").await.status, 403);
        }
    }
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    for path in ["", "/disable", "/rotate", "/delete", "?count=1"] {
        let none = nora.get(&format!("{PRODUCT}{path}")).await;
        assert_eq!(none.status, 404, "{path}");
        is_sound(&none, path);
    }
    for path in ["settings", "enable", "disable", "rotate", "delete", "secret"] {
        let none =
            sent(&mut nora, &format!("{PRODUCT}/{path}"), "typed=pk-1&name=x&retention=standard").await;
        assert_eq!(none.status, 404, "{path}: {}", none.body);
    }
    assert_eq!(nora.get(&format!("{PRODUCT}/secret")).await.status, 405, "a secret is shown by a form alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_created_once_and_its_secret_is_shown_once() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let form = opened(&mut ada, "/console/new-product").await;
    let once = field(&form, "once");
    let fields = format!("name={}&key=new&format=custom&once={once}", encoded(HOSTILE));
    let made = sent(&mut ada, "/console/new-product", &fields).await;
    assert!(made.status == 200 && made.body.contains("/console/products/new\""), "{}", made.body);
    let secret = secret_of(&made.body);
    let again = sent(&mut ada, "/console/new-product", &fields).await;
    assert_eq!(secret_of(&again.body), secret, "a page that is loaded anew makes no second one");
    let page = opened(&mut ada, "/console/products/new").await;
    assert!(page.contains("bytes, by a script") && !page.contains(&secret), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
    let exists = sent(&mut ada, "/console/new-product", "name=x&key=pk-1").await;
    assert!(exists.status == 409 && exists.body.contains("value=\"pk-1\""), "{}", exists.body);
    let long = "x".repeat(100_000);
    let long = sent(&mut ada, "/console/new-product", &format!("name=n&key={}", &long[..90_000])).await;
    assert!(long.status == 422 && long.body.contains("role=\"alert\""), "{}", long.status);
    let shown = sent(&mut ada, "/console/products/new/secret", "").await;
    assert!(shown.status == 200 && secret_of(&shown.body) == secret, "{}", shown.body);
    let wrong = sent(&mut ada, "/console/products/new/rotate", "typed=NEW").await;
    assert!(wrong.status == 422 && wrong.body.contains("Nothing was done"), "{}", wrong.body);
    let rotated = sent(&mut ada, "/console/products/new/rotate", "typed=new").await;
    assert!(rotated.status == 200 && secret_of(&rotated.body) != secret, "{}", rotated.body);
    let audit = ada.get("/api/v1/audit?actor=ada").await.body;
    for action in ["products.create", "products.secret.read", "products.secret.rotate"] {
        assert!(audit.contains(&format!("\"action\":\"{action}\"")), "{action}: {audit}");
    }
}

fn secret_of(page: &str) -> String {
    let (_, rest) = page.split_once("Product secret</dt>").expect("it is shown");
    let code = rest.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>"));
    code.expect("it is there").0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed_of_what_was_seen() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let page = opened(&mut ada, PRODUCT).await;
    let tag = encoded(&field(&page, "tag"));
    let fields = |name: &str, retention: &str| {
        format!("tag={tag}&name={name}&format=custom&profile=nbiot&short=on&code=2.04&retention={retention}")
    };
    let settings = format!("{PRODUCT}/settings");
    let wrong = sent(&mut ada, &settings, &fields("typed-name", "none")).await;
    assert!(wrong.status == 422 && wrong.body.contains("value=\"typed-name\""), "{}", wrong.body);
    assert!(wrong.body.contains("role=\"alert\"") && wrong.body.contains("retention"), "{}", wrong.body);
    assert_eq!(sent(&mut ada, &settings, &fields("gauges", "standard")).await.status, 303);
    let page = opened(&mut ada, PRODUCT).await;
    for said in ["gauges", "slow: NB-IoT", "bytes, by a script", "2.04"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // Somebody else has changed it since.
    let late = sent(&mut ada, &settings, &fields("latecomer", "standard")).await;
    assert!(late.status == 412 && late.body.contains("Open the product as it is now"), "{}", late.body);
    assert!(
        late.body.contains("value=\"latecomer\"") && !opened(&mut ada, PRODUCT).await.contains("latecomer")
    );
    // The window.
    let tag = encoded(&field(&opened(&mut ada, PRODUCT).await, "tag"));
    let fields = format!("tag={tag}&switch=on&window=86400&quota=7");
    assert_eq!(sent(&mut ada, &format!("{PRODUCT}/activation"), &fields).await.status, 303);
    let page = opened(&mut ada, PRODUCT).await;
    assert!(page.contains("on, ends in 24 h") && page.contains("value=\"7\""), "{page}");
    let tag = encoded(&field(&page, "tag"));
    let fields = format!("tag={tag}&switch=on&window=none&quota=7");
    assert_eq!(sent(&mut ada, &format!("{PRODUCT}/activation"), &fields).await.status, 303);
    assert!(opened(&mut ada, PRODUCT).await.contains("on, without end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_switched_and_deleted_by_its_key() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let asked = opened(&mut ada, &format!("{PRODUCT}/disable")).await;
    assert!(asked.contains("with 1 device:") && asked.contains("type pk-1"), "{asked}");
    assert_eq!(sent(&mut ada, &format!("{PRODUCT}/disable"), "typed=n").await.status, 422);
    assert_eq!(sent(&mut ada, &format!("{PRODUCT}/disable"), "typed=pk-1").await.status, 303);
    assert!(opened(&mut ada, PRODUCT).await.contains("switched off"));
    assert_eq!(sent(&mut ada, &format!("{PRODUCT}/enable"), "").await.status, 303);
    assert!(opened(&mut ada, PRODUCT).await.contains("in use"));
    for number in 0..1100 {
        let new = NewDeviceRequest { device_key: Some(format!("d-{number}")), ..NewDeviceRequest::default() };
        world.operator.create_device("pk-1", new).await.expect("it is new");
    }
    let page = opened(&mut ada, PRODUCT).await;
    assert!(page.contains("More than 1,000 devices") && page.contains("?count=1"), "{page}");
    assert!(opened(&mut ada, &format!("{PRODUCT}?count=1")).await.contains("1,101 devices"));
    let asked = opened(&mut ada, &format!("{PRODUCT}/delete")).await;
    assert!(asked.contains("more than 1,000 devices with their keys"), "{asked}");
    let wrong = sent(&mut ada, &format!("{PRODUCT}/delete"), "typed=pk").await;
    assert!(wrong.status == 422 && wrong.body.contains("Nothing was done"), "{}", wrong.body);
    assert_eq!(sent(&mut ada, &format!("{PRODUCT}/delete"), "typed=pk-1").await.status, 303);
    assert_eq!(ada.get(PRODUCT).await.status, 404);
    assert!(opened(&mut ada, "/console/products").await.contains("No product yet"));
}
