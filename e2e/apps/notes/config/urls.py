from django.urls import path
from notes import views

urlpatterns = [path("", views.notes), path("add/<text>", views.add), path("url", views.url)]
