const snippet = "window.acme=window.acme||function(){(acme.q=acme.q||[]).push(arguments)};acme('init', 1)";

export default defineNuxtConfig({
  compatibilityDate: '2025-11-01',
  telemetry: false,
  devtools: { enabled: false },
  experimental: { appManifest: false },
  app: {
    head: {
      title: 'Shop',
      link: [
        { rel: 'icon', href: 'data:,' },
        { rel: 'preconnect', href: 'https://ads.acme.example' },
      ],
      script: [
        { src: 'https://ads.acme.example/p.js' },
        { src: 'https://stats.acme.example/s.js', async: true },
        { innerHTML: snippet },
      ],
    },
  },
  nitro: { preset: 'node-listener' },
  // So that a build for production names what does not match.
  vite: { define: { __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'true' } },
});
