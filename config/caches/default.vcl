vcl 4.1;

# Varnish (6 or later) in front of consentry, as a cache that many visitors share.
# Change the address. It caches what consentry says may be kept: style sheets, scripts,
# pictures. Pages are never kept.

backend consentry {
    .host = "127.0.0.1";
    .port = "8080";
}

sub vcl_recv {
    # Somebody in front of Varnish who ends TLS says so; nobody else may. Where that is
    # another machine, keep its fields instead of these two lines.
    unset req.http.X-Forwarded-Proto;
    set req.http.X-Forwarded-Proto = "http";

    if (req.http.Upgrade ~ "(?i)^websocket$") {
        return (pipe);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    if (req.http.Authorization) {
        return (pass);
    }
    # Varnish would pass whatever comes with a cookie. That is not needed here: what
    # depends on a cookie says so itself. Its first request fills the cache.
    return (hash);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = "Upgrade";
}

sub vcl_backend_response {
    # Varnish would keep for two minutes what says nothing about it.
    if (!beresp.http.Cache-Control && !beresp.http.Expires) {
        set beresp.uncacheable = true;
        set beresp.ttl = 120s;
        return (deliver);
    }
    # What follows is Varnish's own: it keeps nothing that is `private`, `no-store` or
    # `no-cache` or sets a cookie. Never set `beresp.ttl` before it has had its say.
}

sub vcl_deliver {
    set resp.http.X-Cache = "MISS";
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    }
}
