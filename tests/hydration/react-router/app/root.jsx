import { Links, Meta, Outlet, Scripts, ScrollRestoration } from 'react-router';

const snippet = "window.acme=window.acme||function(){(acme.q=acme.q||[]).push(arguments)};acme('init', 1)";

export function Layout({ children }) {
  return (
    <html lang="en">
      <head>
        <meta charSet="utf-8" />
        <title>Shop</title>
        <link rel="icon" href="data:," />
        <link rel="preconnect" href="https://ads.acme.example" />
        <script src="https://ads.acme.example/p.js" />
        <script async src="https://stats.acme.example/s.js" />
        <script dangerouslySetInnerHTML={{ __html: snippet }} />
        <Meta />
        <Links />
      </head>
      <body>
        {children}
        <ScrollRestoration />
        <Scripts />
      </body>
    </html>
  );
}

export default function App() {
  return <Outlet />;
}
