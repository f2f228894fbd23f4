//! Documents that are not, or not quite, HTML pages.
