//! Who is signed in, and what that allows.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::session::Way;
use crate::dashboard::users::Role;

use axum::response::Response;
use maud::html;

/// The page.
pub(in crate::dashboard) async fn page(context: Context) -> Response {
    let session = &context.session;
    let may = match session.role {
        Role::Officer => {
            "You may read everything, say whose a host is, and who answers for a vendor. You cannot change what is withheld by an exception: an operator can."
        }
        Role::Operator => "You may read and change everything.",
    };
    let body = html! {
        dl {
            dt { "Signed in as" } dd { (session.name) }
            dt { "Role" } dd { (session.role.name()) }
            dt { "What that means" } dd { (may) }
            dt { "Your session" } dd { "It ends after 30 minutes without a click, after 12 hours, and when you sign out." }
        }
        @match session.way {
            Way::Password => p.quiet { "To change your password, run " code { "consentry hash-password" } ", put what it prints into the configuration and have it read again. All your sessions end with that." },
            Way::Link => p.warning { "Everybody who may read the ledger's directory can enter like you, under the same name. Run " code { "consentry hash-password" } " and add users under " code { "[[admin.user]]" } " so that the audit trail can tell people apart." },
            Way::Token => p.quiet { "You are a program." },
        }
    };
    layout::page(session, "Account", "/account", &body)
}
