import streamlit as st
from dashboard import identity
st.title("Fleet")
st.write(identity.person().name)
st.html('<form method="post" action="/sign-out"><button type="submit">Sign out</button></form>')
