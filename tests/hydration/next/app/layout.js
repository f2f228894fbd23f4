const snippet = "window.acme=window.acme||function(){(acme.q=acme.q||[]).push(arguments)};acme('init', 1)";

export const metadata = { title: 'Shop' };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <head>
        <link rel="icon" href="data:," />
        <link rel="preconnect" href="https://ads.acme.example" />
        <script src="https://ads.acme.example/p.js" />
        <script async src="https://stats.acme.example/s.js" />
        <script dangerouslySetInnerHTML={{ __html: snippet }} />
      </head>
      <body>{children}</body>
    </html>
  );
}
