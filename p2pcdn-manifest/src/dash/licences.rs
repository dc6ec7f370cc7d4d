//! Licence URLs, wherever an MPD has them: none of them may reach a peer.

use super::{
    read::Reader,
    xml::{Element, Name},
};
use crate::{
    error::{ParseError, WarningKind},
    key::KeyUrl,
    limits::MAX_KEY_URLS,
};

impl Reader<'_> {
    /// An element that says nothing about segments; licence URLs are looked for in it all the
    /// same, and in any attribute of it if it is about protection.
    pub(super) fn other(
        &mut self,
        element: &Element<'_>,
        is_protection: bool,
    ) -> Result<(), ParseError> {
        let name = element.name();
        if name.ends_with("UrlQueryInfo") {
            self.xml.warn(WarningKind::QueryInfoUnsupported);
        }
        let is_licence = is_licence(name);
        if is_licence || is_protection {
            for (name, value) in self.xml.attributes(element) {
                let (Name::Plain(name) | Name::Prefixed(name)) = name;
                if is_licence_attribute(name) || (is_licence && matches!(name, "href" | "url")) {
                    self.add_licence(value.trim());
                }
            }
        }
        if is_licence {
            if let Some(url) = self.xml.content()? {
                self.add_licence(&url);
            }
            return Ok(());
        }
        while let Some(element) = self.xml.child()? {
            // As deep as the cap of the XML reader at most.
            self.other(&element, is_protection)?;
        }
        Ok(())
    }

    fn add_licence(&mut self, url: &str) {
        if url.is_empty() {
            return;
        }
        if self.never_share.len() >= MAX_KEY_URLS {
            self.xml.warn(WarningKind::TooManyElements);
            return;
        }
        let resolved = self.document.resolve(url).map(|resolved| resolved.url);
        let url = resolved.unwrap_or_else(|| url.into());
        self.never_share.insert(KeyUrl::new(url));
    }
}

/// Elements that hold the URL of a licence or of what belongs to one, in all the namespaces that
/// packagers put them in (DASH-IF, ClearKey, Widevine, PlayReady, Marlin).
fn is_licence(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "laurl",
        "authzurl",
        "certurl",
        "lurl",
        "la_url",
        "lui_url",
        "licenseurl",
        "licenseserverurl",
        "licenseacquisitionurl",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn is_licence_attribute(name: &str) -> bool {
    is_licence(name) || name.eq_ignore_ascii_case("licenseServer")
}
