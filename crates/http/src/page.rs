//! The page at `/`: what this is, where devices connect, and where to look next. Plain HTML without script;
//! its style, which other pages share, is at [`STYLE_PATH`].

/// The style of all pages for people.
pub(crate) const STYLE: &str = include_str!("pages.css");
/// Where it is.
pub(crate) const STYLE_PATH: &str = "/pages.css";

/// All that a page loads.
pub(crate) const STYLE_LINK: &str = "<link rel=\"stylesheet\" href=\"/pages.css\">";

/// What the start page says about the process.
#[derive(Debug, Clone)]
pub struct About {
    /// Version of the program.
    pub version: &'static str,
    /// Where devices connect, such as `0.0.0.0:5684`.
    pub dtls: String,
}

impl About {
    /// The complete document.
    pub(crate) fn html(&self) -> String {
        let dtls = escape(&self.dtls);
        let version = escape(self.version);
        let body = format!(
            "<h1>narrowgate {version}</h1>\n\
             <p>A device gateway: devices connect by CoAP over DTLS-PSK at <code>{dtls}</code> (UDP).</p>\n\
             <ul>\n\
             <li><a href=\"/health/live\">/health/live</a>: the process runs</li>\n\
             <li><a href=\"/health/ready\">/health/ready</a>: devices are served</li>\n\
             <li><a href=\"/metrics\">/metrics</a>: numbers for Prometheus</li>\n\
             <li><a href=\"/api/docs\">/api/docs</a>: the API for programs, also as \
             <a href=\"/api/v1/openapi.json\">OpenAPI</a></li>\n</ul>\n\
             <p><a href=\"/console\">Open the console</a></p>\n\
             <p>Products and devices are managed there, on the command line: \
             <code>narrowgate --help</code>; by programs under \
             <code>/api/v1</code>, with a token: <code>narrowgate token create</code>.</p>\n"
        );
        document("narrowgate", &body)
    }
}

/// A whole page: a title and what is said.
pub(crate) fn document(title: &str, body: &str) -> String {
    document_in("en", title, body)
}

/// The same in a language, by its tag.
pub(crate) fn document_in(tag: &str, title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"{tag}\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title}</title>{STYLE_LINK}</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// Text that stands as it is in an element or in an attribute within quotation marks.
pub(crate) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_address_and_escapes_what_it_is_given() {
        let html = About { version: "1.2.3", dtls: "<b>&".into() }.html();
        assert!(html.contains("narrowgate 1.2.3"));
        assert!(html.contains("<code>&lt;b&gt;&amp;</code>"));
    }
}
