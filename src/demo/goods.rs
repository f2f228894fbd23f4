//! What Kettle & Leaf sells.

use maud::{Markup, html};

/// One tea on the shelf.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tea {
    pub(super) slug: &'static str,
    pub(super) name: &'static str,
    /// Green, black, oolong or herbal.
    pub(super) family: &'static str,
    pub(super) price_cents: u32,
    pub(super) line: &'static str,
    pub(super) story: &'static str,
    pub(super) brewing: &'static str,
    colours: Colours,
}

#[derive(Debug, PartialEq, Eq)]
struct Colours {
    paper: &'static str,
    tin: &'static str,
    shade: &'static str,
    liquor: &'static str,
}

/// The tea of that slug.
pub(super) fn tea(slug: &str) -> Option<&'static Tea> {
    TEAS.iter().find(|tea| tea.slug == slug)
}

impl Tea {
    /// The price as a visitor reads it.
    pub(super) fn price(&self) -> String {
        euros(self.price_cents)
    }

    /// The picture: a tin of this tea and a cup of what it makes.
    pub(super) fn picture(&self) -> Markup {
        let Colours { paper, tin, shade, liquor } = &self.colours;
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 320" role="img" aria-label=(self.name) {
                rect width="400" height="320" fill=(paper) {}
                circle cx="200" cy="150" r="118" fill="#fff" opacity=".35" {}
                ellipse cx="200" cy="284" rx="150" ry="12" opacity=".12" {}
                path d="M108 92h128v178q0 14-14 14H122q-14 0-14-14z" fill=(tin) {}
                path d="M206 92h30v178q0 14-14 14h-16z" fill=(shade) {}
                rect x="100" y="70" width="144" height="28" rx="8" fill=(shade) {}
                rect x="116" y="54" width="112" height="18" rx="8" fill=(tin) {}
                rect x="108" y="140" width="128" height="84" fill="#fdf8ec" {}
                path d="M172 206q-34-22 0-54q34 32 0 54zm0-40v48" fill=(tin) stroke=(shade) stroke-width="2" {}
                path d="M118 148h108M118 216h108" stroke=(shade) stroke-width="1.5" {}
                path d="M318 226q28-6 28 16t-34 20" fill="none" stroke="#fffdf7" stroke-width="9" {}
                path d="M214 214h108q0 66-38 70h-32q-38-4-38-70z" fill="#fffdf7" {}
                ellipse cx="268" cy="214" rx="54" ry="11" fill="#efe6d2" {}
                ellipse cx="268" cy="215" rx="46" ry="8" fill=(liquor) {}
                path d="M252 196q-10-14 0-26t0-26M280 196q-10-14 0-26t0-26" fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round" opacity=".8" {}
            }
        }
    }
}

/// An amount as a visitor reads it.
pub(super) fn euros(cents: u32) -> String {
    format!("€{}.{:02}", cents / 100, cents % 100)
}

/// Everything on the shelf, what sells best first.
pub(super) const TEAS: &[Tea] = &[
    Tea {
        slug: "brick-lane-breakfast",
        name: "Brick Lane Breakfast",
        family: "Black tea",
        price_cents: 590,
        line: "Malty, brisk, and not afraid of milk.",
        story: "A blend of two Assam gardens with a little Ceylon for brightness. It was mixed for the bakers next door, who start at four and wanted something that would wake them.",
        brewing: "One heaped spoon a cup, boiling water, four minutes.",
        colours: Colours { paper: "#f3dfd0", tin: "#a8442a", shade: "#87331e", liquor: "#8a3512" },
    },
    Tea {
        slug: "orchard-chamomile",
        name: "Orchard Chamomile",
        family: "Herbal",
        price_cents: 540,
        line: "Whole flowers, dried apple, a thread of orange.",
        story: "Picked on a hillside that faces the evening sun, and dried slowly so that the flowers stay whole. No caffeine, no perfume, only the garden.",
        brewing: "Two spoons a cup, boiling water, six minutes, lid on.",
        colours: Colours { paper: "#f8ecc9", tin: "#d79a2b", shade: "#b67d1b", liquor: "#e2b33c" },
    },
    Tea {
        slug: "first-light-sencha",
        name: "First Light Sencha",
        family: "Green tea",
        price_cents: 780,
        line: "Grass after rain, with a sweet end.",
        story: "The first pick of the year from a family garden near Shizuoka, steamed within hours and rolled into fine needles. We ship it cold and sell it out by autumn.",
        brewing: "One spoon a cup, water at 70 degrees, one minute.",
        colours: Colours { paper: "#e0ead2", tin: "#5f8a3c", shade: "#4a6f2d", liquor: "#b5bf4a" },
    },
    Tea {
        slug: "harbour-smoke",
        name: "Harbour Smoke",
        family: "Black tea",
        price_cents: 690,
        line: "Pine smoke, dark honey, a long evening.",
        story: "Leaves dried over pine embers in the Wuyi hills. People who love it love nothing else; everybody should try it once, with a hard cheese.",
        brewing: "One spoon a cup, boiling water, three minutes.",
        colours: Colours { paper: "#dfdcd6", tin: "#4b4f58", shade: "#363941", liquor: "#7c3b17" },
    },
    Tea {
        slug: "jasmine-pearls",
        name: "Jasmine Pearls",
        family: "Green tea",
        price_cents: 960,
        line: "Hand-rolled, scented over seven nights.",
        story: "Young leaves rolled into pearls and laid among fresh jasmine for seven nights. Watch them open in a glass: that is half of the pleasure.",
        brewing: "Eight pearls a cup, water at 80 degrees, two minutes, three times.",
        colours: Colours { paper: "#e3ece6", tin: "#3f7a68", shade: "#2f6053", liquor: "#cdbf62" },
    },
    Tea {
        slug: "iron-goddess",
        name: "Iron Goddess",
        family: "Oolong",
        price_cents: 890,
        line: "Roasted chestnut, then lilac.",
        story: "A Tieguanyin that is half dark and half light, roasted twice over charcoal. It gives six cups, each a little different from the one before.",
        brewing: "Two spoons a pot, water at 95 degrees, one minute, again and again.",
        colours: Colours { paper: "#e6e0ee", tin: "#6b5a8e", shade: "#534571", liquor: "#c58b3a" },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_a_picture_is_closed() {
        // Browsers show no SVG file that is not well-formed XML.
        for tea in TEAS {
            let picture = tea.picture().into_string();
            let closed = picture.matches("</").count();
            assert_eq!(picture.matches('<').count(), 2 * closed, "{picture}");
        }
    }
}
