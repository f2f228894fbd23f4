document.cookie = 'cart=empty; path=/';
