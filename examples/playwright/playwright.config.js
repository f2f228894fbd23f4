import { defineConfig } from '@playwright/test';

const chromium = process.env.CHROMIUM;

export default defineConfig({
  testMatch: '*.spec.js',
  timeout: 60_000,
  reporter: 'line',
  // The shop's cookies are one visitor's: one test after the other, each with a browser of its own.
  workers: 1,
  use: {
    baseURL: process.env.SITE ?? 'http://localhost:8080',
    launchOptions: chromium ? { executablePath: chromium, args: ['--no-sandbox'] } : {},
  },
});
