import { expect, test } from '@playwright/test';

/** What was decided on the last answer for a page, by vendor. */
async function decided(page, path) {
  const answer = await page.request.get(`/.consentry/decisions?page=${encodeURIComponent(path)}`);
  const { decisions } = await answer.json();
  return Object.fromEntries(decisions.filter((one) => one.vendor).map((one) => [one.vendor, one.verdict]));
}

// No vendor is reached from a test, whatever was agreed to.
test.beforeEach(({ context }) => context.route((url) => url.hostname !== 'localhost' && url.hostname !== '127.0.0.1', (route) => route.abort()));

test('nothing is loaded before a choice', async ({ page }) => {
  await page.goto('/');
  expect(await decided(page, '/')).toMatchObject({ 'google-analytics': 'block', hotjar: 'block' });
});

test('refusing is one click, and holds on the next page', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('button', { name: 'Refuse all' }).first().click();
  await page.goto('/thanks.html');
  expect(await decided(page, '/thanks.html')).toMatchObject({ 'meta-pixel': 'block' });
});

for (const [state, expected] of [['all', 'allow'], ['marketing', 'allow'], ['analytics', 'block'], ['gpc', 'block']]) {
  test(`the thank-you page for a visitor who is: ${state}`, async ({ page }) => {
    await page.goto(`/thanks.html?__consent=${state}`);
    expect(await decided(page, '/thanks.html')).toMatchObject({ 'meta-pixel': expected });
  });
}
