/** What was decided on the last answer for a page, by vendor. */
const decided = (path) =>
  cy.request(`/.consentry/decisions?page=${encodeURIComponent(path)}`).then(({ body }) =>
    Object.fromEntries(body.decisions.filter((one) => one.vendor).map((one) => [one.vendor, one.verdict])));

describe('the shop', () => {
  it('loads nothing before a choice', () => {
    cy.visit('/');
    decided('/').should('deep.include', { 'google-analytics': 'block', hotjar: 'block' });
  });

  for (const [state, expected] of [['refuse', 'block'], ['analytics', 'block'], ['marketing', 'allow'], ['all', 'allow']]) {
    it(`tells Meta of a purchase, or not: ${state}`, () => {
      cy.visit(`/thanks.html?__consent=${state}`);
      decided('/thanks.html').should('have.property', 'meta-pixel', expected);
    });
  }
});
